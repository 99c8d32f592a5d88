"""`run.py` for tests of its launcher, which launches this program: in float64, and patient."""

import sys

import pytest

import run
from tests.exp.test_processes import be_patient
from tests.rounding import use_float64

if __name__ == "__main__":
    use_float64(pytest.MonkeyPatch())
    be_patient()
    run.__file__ = __file__
    sys.exit(run.main())
