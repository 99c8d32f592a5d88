#!/bin/sh
# CALF, long-term forecasting on Exchange rate, daily. The paper has no results on it, and we know no
# published training settings: ours, as those of Weather with the L1 losses of the ETT sets.
# From the root: sh scripts/long_term_forecasting/exchange_rate.sh [more options of run.py]
# HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-96 192 336 720}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/exchange_rate/ --data_path exchange_rate.csv --freq d \
        --model_id "exchange_rate_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
        --batch_size 64 --learning_rate 0.0005 --train_epochs 100 --tmax 20 --patience 5 "$@"
done
