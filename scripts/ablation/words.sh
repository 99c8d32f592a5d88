#!/bin/sh
# CALF, ablation of the word embeddings: principal components, random ones of the same variances, or
# no cross-attention.
# Otherwise the published long-term settings, on ETTh1.
# From the root: sh scripts/ablation/words.sh [more options of run.py]
# DATASETS="ETTh1 ETTm2" takes other ETT sets; HORIZONS="96 192" runs some of the horizons only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ablation words --words "pca random none" "$@"
