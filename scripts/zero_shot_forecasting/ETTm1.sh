#!/bin/sh
# CALF, zero-shot forecasting: trained on ETTm1, tested on the other ETT sets; the set's long-term
# settings with the zero-shot patience, since none are published.
# From the root: sh scripts/zero_shot_forecasting/ETTm1.sh [more options of run.py]
# TARGETS="ETTh1" and HORIZONS="96 192" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for target in ${TARGETS:-ETTh1 ETTh2 ETTm2}; do
    for pred_len in ${HORIZONS:-96 192 336 720}; do
        calf --task_name long_term_forecast --data ETTm1 --zero_shot 1 --target_data "$target" \
            --root_path ./datasets/ETT-small/ --data_path ETTm1.csv --freq t \
            --model_id "ETTm1_to_${target}_96_$pred_len" --seq_len 96 --pred_len "$pred_len" \
            --batch_size 256 --learning_rate 0.0005 --train_epochs 100 --tmax 20 --patience 1 "$@"
    done
done
