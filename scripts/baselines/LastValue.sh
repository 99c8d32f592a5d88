#!/bin/sh
# LastValue, long-term forecasting at look-back 96: the last value persists; nothing is trained.
# From the root: sh scripts/baselines/LastValue.sh [more options of run.py]
# DATASETS="ETTh1 weather" and HORIZONS="96 192" run some only; exchange_rate and illness when named.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

baseline LastValue "$@"
