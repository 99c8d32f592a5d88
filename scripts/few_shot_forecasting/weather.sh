#!/bin/sh
# CALF, few-shot forecasting on Weather: 10 % of the training rows as in the paper.
# From the root: sh scripts/few_shot_forecasting/weather.sh [more options of run.py]
# PERCENT=5 trains on 5 % of the rows, HORIZONS="96 192" runs these horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/weather/ --data_path weather.csv --freq 10min --percent "${PERCENT:-10}" \
        --model_id "weather_few_${PERCENT:-10}_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 64 --learning_rate 0.0001 --train_epochs 100 --tmax 20 --patience 5 \
        --task_loss smooth_l1 --output_loss smooth_l1 --feature_loss smooth_l1 \
        --output_w 0 --feature_w 0 "$@"
done
