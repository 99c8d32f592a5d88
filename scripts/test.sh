#!/usr/bin/env bash
# Makes the environment where it is missing, then runs the tests: scripts/test.sh [pytest options]
# Several tests at a time, one for each core up to four; -n 0 runs them one by one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
setup requirements.txt tests/requirements.txt
exec .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
