#!/bin/sh
# The other models on M4: the settings of Time-Series-Library's scripts, not compared with them; least
# certain: the widths of TimesNet. GPT4TS's are ours: One-Fits-All's, a rate of 0.002 and patches of one
# step, are for another head than this model's, and at 0.001 it does not learn on Hourly.
# From the root: sh scripts/short_term_forecasting/m4_baselines.sh [more options of run.py]
# MODELS="DLinear PatchTST" and PATTERNS="Hourly Weekly" run some only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

settings() {
    case $model-$pattern in
        DLinear-*) echo --moving_avg 25 ;;
        PatchTST-*) echo --patch_len 16 --stride 8 ;;
        GPT4TS-*) echo --patch_len 16 --stride 8 --d_model 768 --gpt_layers 6 --learning_rate 0.0001 ;;
        iTransformer-*) echo --e_layers 2 ;;
        TimesNet-Yearly) echo --top_k 5 --num_kernels 6 --d_model 16 --d_ff 32 ;;
        TimesNet-Quarterly) echo --top_k 5 --num_kernels 6 --d_model 64 --d_ff 64 ;;
        TimesNet-Daily) echo --top_k 5 --num_kernels 6 --d_model 16 --d_ff 16 ;;
        TimesNet-*) echo --top_k 5 --num_kernels 6 --d_model 32 --d_ff 32 ;;
    esac
}

for model in ${MODELS:-LastValue SeasonalNaive DLinear iTransformer PatchTST TimesNet GPT4TS}; do
    for pattern in ${PATTERNS:-Yearly Quarterly Monthly Weekly Daily Hourly}; do
        # shellcheck disable=SC2046 # settings prints words
        library --task_name short_term_forecast --data m4 --root_path ./datasets/m4 \
            --seasonal_patterns "$pattern" --model_id "m4_$pattern" \
            --batch_size 16 --learning_rate 0.001 $(settings) "$@"
    done
done
