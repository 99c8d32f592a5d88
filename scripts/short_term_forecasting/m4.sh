#!/bin/sh
# CALF, short-term forecasting on M4: the published settings, all six frequencies, then the summary.
# From the root: sh scripts/short_term_forecasting/m4.sh [more options of run.py]
# PATTERNS="Hourly Weekly" runs some of the frequencies only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

for pattern in ${PATTERNS:-Yearly Quarterly Monthly Weekly Daily Hourly}; do
    calf --task_name short_term_forecast --data m4 --root_path ./datasets/m4 \
        --seasonal_patterns "$pattern" --model_id "m4_$pattern" \
        --batch_size 512 --learning_rate 0.001 --train_epochs 200 --tmax 20 --patience 20 \
        --task_loss smape --output_loss mase --feature_loss smooth_l1 "$@"
done
