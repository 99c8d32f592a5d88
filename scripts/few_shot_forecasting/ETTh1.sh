#!/bin/sh
# CALF, few-shot forecasting on ETTh1: 10 % of the training rows as in the paper; the published
# script takes 5 %.
# From the root: sh scripts/few_shot_forecasting/ETTh1.sh [more options of run.py]
# PERCENT=5 trains on 5 % of the rows, HORIZONS="96 192" runs these horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data ETTh1 \
        --root_path ./datasets/ETT-small/ --data_path ETTh1.csv --freq h --percent "${PERCENT:-10}" \
        --model_id "ETTh1_few_${PERCENT:-10}_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 256 --learning_rate 0.0005 --train_epochs 100 --tmax 20 --patience 10 \
        --output_w 0 --feature_w 0 "$@"
done
