#!/bin/sh
# GPT4TS, long-term forecasting at look-back 96: the settings of One-Fits-All's scripts, whose
# look-back is 336 on ETTh1 and ETTh2 and 512 on the others.
# A batch there has windows of one channel: 256 of ETT, 512 of weather, 2048 of electricity and
# traffic. Here windows have all channels, and a batch about as many values.
# Not compared with those scripts; least certain: the stride of ETTm1 and ETTm2, the schedules of all
# sets but ETTh1, and the learning rate of traffic. Exchange rate is not among them and has those of
# ETTh1; Illness has a look-back of 104 there.
# From the root: sh scripts/baselines/GPT4TS.sh [more options of run.py]
# DATASETS="ETTh1 weather" and HORIZONS="96 192" run some only; exchange_rate and illness when named.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

settings() {
    echo --gpt_layers 6 --patch_len 16
    case $name in
        ETTh1 | ETTh2 | exchange_rate) echo --stride 8 --batch_size 37 --cos 1 --tmax 20 ;;
        ETTm1 | ETTm2) echo --stride 16 --batch_size 37 --cos 1 --tmax 20 ;;
        weather) echo --stride 8 --batch_size 24 --lradj type3 ;;
        electricity) echo --stride 8 --batch_size 6 --cos 1 --tmax 10 ;;
        traffic) echo --stride 8 --batch_size 2 --cos 1 --tmax 10 --learning_rate 0.001 ;;
        illness) echo --patch_len 24 --stride 2 --batch_size 2 --lradj type3 ;;
    esac
}

baseline GPT4TS "$@"
