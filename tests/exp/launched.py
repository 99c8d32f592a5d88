"""`run.py` for tests of its launcher, which launches this program: in float64, and patient."""

import sys

import pytest

import exp.launch
import run
import utils.interrupts
from tests.rounding import use_float64


def be_patient(rank: int = 0) -> None:
    """Let no process give up waiting for the others because the machine is busy."""
    exp.launch.PARTING = exp.launch.SAVING = utils.interrupts.REPEATED = 540  # seconds


if __name__ == "__main__":
    use_float64(pytest.MonkeyPatch())
    be_patient()
    run.__file__ = __file__
    sys.exit(run.main())
