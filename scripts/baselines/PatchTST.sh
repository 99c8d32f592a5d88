#!/bin/sh
# PatchTST, long-term forecasting at look-back 96: the settings of Time-Series-Library's scripts.
# From the root: sh scripts/baselines/PatchTST.sh [more options of run.py]
# DATASETS="ETTh1 weather" and HORIZONS="96 192" run some only; exchange_rate and illness when named.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

settings() {
    echo --patch_len 16 --stride 8 --d_model 512 --dropout 0.1 --activation gelu
    case $name in
        traffic) echo --d_ff 512 ;;
        *) echo --d_ff 2048 ;;
    esac
    case $name-$pred_len in
        ETTh1-96) echo --e_layers 1 --n_heads 2 ;;
        ETTh1-720) echo --e_layers 1 --n_heads 16 ;;
        ETTh1-*) echo --e_layers 1 --n_heads 8 ;;
        ETTh2-*) echo --e_layers 3 --n_heads 4 ;;
        ETTm1-96) echo --e_layers 1 --n_heads 2 ;;
        ETTm1-192) echo --e_layers 3 --n_heads 2 --batch_size 128 ;;
        ETTm1-336) echo --e_layers 1 --n_heads 4 --batch_size 128 ;;
        ETTm1-*) echo --e_layers 3 --n_heads 4 --batch_size 128 ;;
        ETTm2-96) echo --e_layers 3 --n_heads 16 ;;
        ETTm2-192) echo --e_layers 3 --n_heads 2 --batch_size 128 ;;
        ETTm2-336) echo --e_layers 1 --n_heads 4 ;;
        ETTm2-*) echo --e_layers 3 --n_heads 4 --batch_size 128 ;;
        weather-96) echo --e_layers 2 --n_heads 4 --train_epochs 3 ;;
        weather-192) echo --e_layers 2 --n_heads 16 --train_epochs 3 ;;
        weather-*) echo --e_layers 2 --n_heads 4 --train_epochs 3 --batch_size 128 ;;
        electricity-*) echo --e_layers 2 --n_heads 8 --batch_size 16 ;;
        traffic-*) echo --e_layers 2 --n_heads 8 --batch_size 4 ;;
        exchange_rate-*) echo --e_layers 2 --n_heads 8 ;;
        illness-24) echo --e_layers 4 --n_heads 4 --d_model 1024 ;;
        illness-60) echo --e_layers 4 --n_heads 16 --d_model 2048 ;;
        illness-*) echo --e_layers 4 --n_heads 4 --d_model 2048 ;;
    esac
}

baseline PatchTST "$@"
