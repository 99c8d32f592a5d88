#!/bin/sh
# CALF, imputation on Weather: windows of 96 steps, four mask rates; the set's long-term settings.
# From the root: sh scripts/imputation/weather.sh [more options of run.py]
# MASK_RATES="0.25" runs some of the rates only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for mask_rate in ${MASK_RATES:-0.125 0.25 0.375 0.5}; do
    calf --task_name imputation --data custom \
        --root_path ./datasets/weather/ --data_path weather.csv --freq 10min --mask_rate "$mask_rate" \
        --model_id "weather_mask_$mask_rate" --seq_len 96 --pred_len 0 \
        --batch_size 64 --learning_rate 0.0005 --train_epochs 100 --tmax 20 --patience 5 \
        --task_loss smooth_l1 --output_loss smooth_l1 --feature_loss smooth_l1 "$@"
done
