#!/bin/sh
# CALF, ablation of the losses on the four ETT sets: the supervised loss with and without the feature
# and the output loss; otherwise the published long-term settings.
# From the root: sh scripts/ablation/ETT.sh [more options of run.py]
# DATASETS="ETTh1" and HORIZONS="96 192" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for name in ${DATASETS:-ETTh1 ETTh2 ETTm1 ETTm2}; do
    for weights in "0 0" "0 1" "0.01 0" "0.01 1"; do
        feature_w=${weights% *} output_w=${weights#* }
        for pred_len in ${HORIZONS:-96 192 336 720}; do
            calf_ett "$name" "$pred_len" \
                "${name}_ablation_f${feature_w}_o${output_w}_96_$pred_len" \
                --task_w 1 --feature_w "$feature_w" --output_w "$output_w" "$@"
        done
    done
done
