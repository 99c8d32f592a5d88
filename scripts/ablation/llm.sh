#!/bin/sh
# CALF, ablation of the language model: GPT-2, GPT-2 untrained, one attention layer, one transformer
# layer, or nothing.
# Otherwise the published long-term settings, on ETTh1.
# From the root: sh scripts/ablation/llm.sh [more options of run.py]
# DATASETS="ETTh1 ETTm2" takes other ETT sets; HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ablation llm --llm_ablation "none random attention transformer identity" "$@"
