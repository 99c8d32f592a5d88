#!/usr/bin/env bash
# The main job, off line: makes data and a small GPT-2, trains CALF, compares and plots.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
setup requirements.txt
exec env HF_HUB_OFFLINE=1 .venv/bin/python -m scripts.demo
