"""Time marks; `tests/parity/test_loaders.py` compares more of them with the reference."""

import numpy as np
import pandas as pd
import pytest

from utils.errors import UserError
from utils.timefeatures import frequency_unit, time_features

DATES = pd.DatetimeIndex(["2020-12-31 23:59:59", "2021-01-01 00:00:00"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("H", "h"), ("t", "min"), ("T", "15min"), ("S", "s"), ("A", "YE"), ("Q", "QE-DEC"),
     ("M", "ME"), ("w", "W-SUN"), ("b", "d"), ("10min", "t")],
)  # fmt: skip
def test_old_spellings(old, new):
    np.testing.assert_array_equal(time_features(DATES, old), time_features(DATES, new))


def test_values():
    last, first = time_features(DATES, "s")
    np.testing.assert_allclose(last, [0.5, 0.5, 0.5, 0.0, 0.5, 0.5])
    np.testing.assert_allclose(first, [-0.5, -0.5, -0.5, 4 / 6 - 0.5, -0.5, -0.5])
    assert time_features(DATES, "y").shape == (2, 0)
    np.testing.assert_allclose(time_features(DATES, "w")[:, 1], [0.5, 0.5])  # ISO week 53


def test_integer_marks():
    assert time_features(DATES, "t", embed="fixed")[0].tolist() == [12, 31, 3, 23, 3]
    assert time_features(DATES, "h", embed="fixed").shape == (2, 4)


@pytest.mark.parametrize("freq", ["", "parsec", "5", "h5"])
def test_unknown(freq):
    with pytest.raises(UserError, match="--freq"):
        frequency_unit(freq)
