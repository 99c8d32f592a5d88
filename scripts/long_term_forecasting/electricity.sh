#!/bin/sh
# CALF, long-term forecasting on Electricity: the published settings, all four horizons.
# From the root: sh scripts/long_term_forecasting/electricity.sh [more options of run.py]
# HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/electricity/ --data_path electricity.csv --freq h \
        --model_id "electricity_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 32 --learning_rate 0.0005 --train_epochs 20 --tmax 10 --patience 5 \
        --task_loss smooth_l1 --output_loss smooth_l1 --feature_loss smooth_l1 "$@"
done
