#!/bin/sh
# CALF, anomaly detection on PSM: reconstruction of windows of 100 steps.
# From the root: sh scripts/anomaly_detection/PSM.sh [more options of run.py]
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

calf --task_name anomaly_detection --data PSM --root_path ./datasets/PSM/ \
    --model_id PSM --seq_len 100 --pred_len 0 --anomaly_ratio 1 \
    --batch_size 128 --learning_rate 0.0001 --train_epochs 10 --tmax 20 --patience 3 "$@"
