#!/usr/bin/env bash
# Makes the environment where it is missing, then runs the tests: scripts/test.sh [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
setup requirements.txt tests/requirements.txt
exec .venv/bin/python -m pytest "$@"
