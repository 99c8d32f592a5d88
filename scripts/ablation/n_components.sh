#!/bin/sh
# CALF with fewer principal components of the word embeddings; the published number is 500.
# Otherwise the published long-term settings, on ETTh1.
# From the root: sh scripts/ablation/n_components.sh [more options of run.py]
# DATASETS="ETTh1 ETTm2" takes other ETT sets; HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ablation n_components --n_components "50 100 250 500" "$@"
