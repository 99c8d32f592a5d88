#!/bin/sh
# CALF, few-shot forecasting on ETTm2: 10 % of the training rows as in the paper.
# From the root: sh scripts/few_shot_forecasting/ETTm2.sh [more options of run.py]
# PERCENT=5 trains on 5 % of the rows, HORIZONS="96 192" runs these horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data ETTm2 \
        --root_path ./datasets/ETT-small/ --data_path ETTm2.csv --freq t --percent "${PERCENT:-10}" \
        --model_id "ETTm2_few_${PERCENT:-10}_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 256 --learning_rate 0.0001 --train_epochs 100 --tmax 20 --patience 5 \
        --output_w 0 --feature_w 0 "$@"
done
