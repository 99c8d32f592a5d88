#!/bin/sh
# CALF, ablation of the losses on the four ETT sets: the supervised loss with and without the feature
# and the output loss; otherwise the published long-term settings.
# From the root: sh scripts/ablation/ETT.sh [more options of run.py]
# DATASETS="ETTh1" and HORIZONS="96 192" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for name in ${DATASETS:-ETTh1 ETTh2 ETTm1 ETTm2}; do
    rate=0.0005 patience=5 freq=h
    case $name in
        ETTh1) patience=10 ;;
        ETTm1) freq=t ;;
        ETTm2) freq=t rate=0.0001 ;;
    esac
    for weights in "0 0" "0 1" "0.01 0" "0.01 1"; do
        feature_w=${weights% *} output_w=${weights#* }
        for pred_len in ${HORIZONS:-96 192 336 720}; do
            calf --task_name long_term_forecast --data "$name" \
                --root_path ./datasets/ETT-small/ --data_path "$name.csv" --freq "$freq" \
                --model_id "${name}_ablation_f${feature_w}_o${output_w}_96_$pred_len" \
                --seq_len 96 --pred_len "$pred_len" \
                --task_w 1 --feature_w "$feature_w" --output_w "$output_w" \
                --batch_size 256 --learning_rate "$rate" --train_epochs 100 --tmax 20 \
                --patience "$patience" "$@"
        done
    done
done
