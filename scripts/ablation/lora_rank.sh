#!/bin/sh
# CALF with other ranks of LoRA; the published rank is 8. lora_alpha stays at 32, so that the scale
# alpha / r changes with the rank.
# Otherwise the published long-term settings, on ETTh1.
# From the root: sh scripts/ablation/lora_rank.sh [more options of run.py]
# DATASETS="ETTh1 ETTm2" takes other ETT sets; HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ablation lora_rank --r "2 4 8 16" "$@"
