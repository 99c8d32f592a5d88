#!/bin/sh
# TimesNet, long-term forecasting at look-back 96: the settings of Time-Series-Library's scripts.
# On ETTh1 their rate of 0.0001 gave an MSE of 0.438 at horizon 96, since a model so narrow learns too
# little in ten halving epochs; --learning_rate 0.001, of the runs in docs/results, gave 0.390.
# From the root: sh scripts/baselines/TimesNet.sh [more options of run.py]
# DATASETS="ETTh1 weather" and HORIZONS="96 192" run some only; exchange_rate and illness when named.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

settings() {
    echo --e_layers 2 --top_k 5 --num_kernels 6 --dropout 0.1
    case $name-$pred_len in
        ETTh1-* | ETTm1-336 | ETTm1-720 | ETTm2-720) echo --d_model 16 --d_ff 32 ;;
        ETTm1-* | exchange_rate-96 | exchange_rate-192) echo --d_model 64 --d_ff 64 ;;
        ETTh2-* | ETTm2-* | weather-* | exchange_rate-*) echo --d_model 32 --d_ff 32 ;;
        illness-*) echo --d_model 768 --d_ff 768 ;;
        electricity-*) echo --d_model 256 --d_ff 512 ;;
        traffic-*) echo --d_model 512 --d_ff 512 ;;
    esac
    case $name-$pred_len in
        ETTm1-336) echo --train_epochs 3 ;;
        ETTm2-192 | ETTm2-720 | weather-192 | weather-720) echo --train_epochs 1 ;;
        exchange_rate-336 | exchange_rate-720) echo --train_epochs 1 ;;
    esac
}

baseline TimesNet "$@"
