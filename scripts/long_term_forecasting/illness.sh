#!/bin/sh
# CALF, long-term forecasting on Illness, weekly. The paper has no results on it, and we know no
# published training settings: ours, as those of the ETT sets with smaller batches.
# From the root: sh scripts/long_term_forecasting/illness.sh [more options of run.py]
# HORIZONS="24 36" runs some of the horizons only, SEQ_LEN=36 takes a shorter look-back.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-24 36 48 60}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/illness/ --data_path national_illness.csv --freq w \
        --model_id "illness_${SEQ_LEN:-104}_$pred_len" --seq_len "${SEQ_LEN:-104}" \
        --pred_len "$pred_len" --batch_size 16 --learning_rate 0.0005 --train_epochs 100 \
        --tmax 20 --patience 10 "$@"
done
