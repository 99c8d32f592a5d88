#!/bin/sh
# CALF, long-term forecasting on ETTh2: the published settings, all four horizons.
# From the root: sh scripts/long_term_forecasting/ETTh2.sh [more options of run.py]
# HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data ETTh2 \
        --root_path ./datasets/ETT-small/ --data_path ETTh2.csv --freq h \
        --model_id "ETTh2_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 256 --learning_rate 0.0005 --train_epochs 100 --tmax 20 --patience 5 "$@"
done
