#!/bin/sh
# CALF, ablation of the losses on ETTh2: the supervised loss with and without the feature and the
# output loss; otherwise the published long-term settings.
# From the root: sh scripts/ablation/ETTh2.sh [more options of run.py]
# HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for feature_w in 0 0.01; do
    for output_w in 0 1; do
        for pred_len in ${HORIZONS:-96 192 336 720}; do
            calf --task_name long_term_forecast --data ETTh2 \
                --root_path ./datasets/ETT-small/ --data_path ETTh2.csv --freq h \
                --model_id "ETTh2_ablation_f${feature_w}_o${output_w}_96_$pred_len" \
                --seq_len 96 --pred_len "$pred_len" \
                --task_w 1 --feature_w "$feature_w" --output_w "$output_w" \
                --batch_size 256 --learning_rate 0.0005 --train_epochs 100 --tmax 20 \
                --patience 5 "$@"
        done
    done
done
