#!/bin/sh
# SeasonalNaive, long-term forecasting at look-back 96: the last day repeats; nothing is trained.
# weather is left out: its day has 144 steps, more than the look-back.
# From the root: sh scripts/baselines/SeasonalNaive.sh [more options of run.py]
# DATASETS="ETTh1 traffic" and HORIZONS="96 192" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

DATASETS=${DATASETS:-ETTh1 ETTh2 ETTm1 ETTm2 electricity traffic}
baseline SeasonalNaive "$@"
