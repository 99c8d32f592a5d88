#!/bin/sh
# CALF, few-shot forecasting on Illness: 10 % of the training rows. The settings are ours: those of
# scripts/long_term_forecasting/illness.sh without output and feature loss, as on the ETT sets, at
# look-back 36. 10 % of its 676 training rows leave 41 windows at horizon 24, and 5 at horizon 60.
# From the root: sh scripts/few_shot_forecasting/illness.sh [more options of run.py]
# PERCENT=20 trains on 20 % of the rows, HORIZONS="24 36" runs these horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pred_len in ${HORIZONS:-24 36 48 60}; do
    calf --task_name long_term_forecast --data custom \
        --root_path ./datasets/illness/ --data_path national_illness.csv --freq w \
        --percent "${PERCENT:-10}" --model_id "illness_few_${PERCENT:-10}_36_$pred_len" \
        --seq_len 36 --pred_len "$pred_len" --batch_size 16 --learning_rate 0.0005 \
        --train_epochs 100 --tmax 20 --patience 10 --output_w 0 --feature_w 0 "$@"
done
