"""The naive forecasts against NumPy."""

import numpy as np
import pytest
import torch

from models import LastValue, SeasonalNaive
from tests.models.configs import size, small
from utils.errors import UserError


def test_last_value():
    x = torch.randn(2, 24, 3)
    model = LastValue.Model(small())
    np.testing.assert_array_equal(model(x), np.repeat(x.numpy()[:, 23:24], 10, axis=1))
    assert size(model) == 0


@pytest.mark.parametrize("season", [1, 6, 10, 24])
def test_seasonal_naive(season):
    """Whole seasons, parts of one, and several."""
    x = torch.randn(2, 24, 3)
    model = SeasonalNaive.Model(small(season_length=season))
    repeated = np.tile(x.numpy()[:, 24 - season :], (1, 10, 1))[:, :10]
    np.testing.assert_array_equal(model(x), repeated)
    assert size(model) == 0


@pytest.mark.parametrize(
    ("season", "said"),
    [(0, "no season: .*--season_length"), (25, "25 steps .*--seq_len 24.*--season_length")],
)
def test_seasons_of_no_use(season, said):
    with pytest.raises(UserError, match=said):
        SeasonalNaive.Model(small(season_length=season))
