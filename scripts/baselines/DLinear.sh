#!/bin/sh
# DLinear, long-term forecasting at look-back 96: the learning rates and batches of LTSF-Linear's
# scripts, whose look-back is 336. Written from memory, not compared with them; least certain: the
# rate of ETTm2 at 336 and 720.
# From the root: sh scripts/baselines/DLinear.sh [more options of run.py]
# DATASETS="ETTh1 weather" and HORIZONS="96 192" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

settings() {
    echo --moving_avg 25
    case $name-$pred_len in
        ETTh1-*) echo --learning_rate 0.005 ;;
        ETTh2-*) echo --learning_rate 0.05 ;;
        ETTm1-*) echo --batch_size 8 ;;
        ETTm2-96 | ETTm2-192) echo --learning_rate 0.001 ;;
        ETTm2-*) echo --learning_rate 0.01 ;;
        weather-*) echo --batch_size 16 ;;
        electricity-*) echo --learning_rate 0.001 --batch_size 16 ;;
        traffic-*) echo --learning_rate 0.05 --batch_size 16 ;;
    esac
}

baseline DLinear "$@"
