#!/bin/sh
# CALF, anomaly detection on SWaT: reconstruction of windows of 100 steps.
# From the root: sh scripts/anomaly_detection/SWaT.sh [more options of run.py]
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

calf --task_name anomaly_detection --data SWaT --root_path ./datasets/SWaT/ \
    --model_id SWaT --seq_len 100 --pred_len 0 --anomaly_ratio 1 \
    --batch_size 128 --learning_rate 0.0001 --train_epochs 10 --tmax 20 --patience 3 "$@"
