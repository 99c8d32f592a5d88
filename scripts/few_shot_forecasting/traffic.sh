#!/bin/sh
# CALF, few-shot forecasting on Traffic: 10 % of the training rows. The settings are those of the
# long-term script; the paper has no few-shot results on it.
# From the root: sh scripts/few_shot_forecasting/traffic.sh [more options of run.py]
# PERCENT=5 trains on 5 % of the rows, HORIZONS="96 192" runs these horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/traffic/ --data_path traffic.csv --freq h --percent "${PERCENT:-10}" \
        --model_id "traffic_few_${PERCENT:-10}_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 8 --learning_rate 0.0005 --train_epochs 10 --tmax 10 --patience 5 \
        --task_loss smooth_l1 --output_loss smooth_l1 --feature_loss smooth_l1 "$@"
done
