#!/bin/sh
# CALF with fewer or more blocks of GPT-2; the published number is 6.
# Otherwise the published long-term settings, on ETTh1.
# From the root: sh scripts/ablation/depth.sh [more options of run.py]
# DATASETS="ETTh1 ETTm2" takes other ETT sets; HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ablation depth --gpt_layers "1 2 4 6 8 12" "$@"
