"""Statistics of the report: against scipy, scikit-posthocs' numbers, and simulations."""

import numpy as np
import pytest
from scipy import stats

from utils.reporting.charts import cliques
from utils.reporting.statistics import (
    block_variance,
    circular_sums,
    critical_difference,
    friedman,
    mean_and_deviation,
    nemenyi,
    paired_interval,
    ranks,
)

ERRORS = np.array(
    [
        [0.31, 0.35, 0.40, 0.33],
        [0.29, 0.30, 0.38, 0.35],
        [0.41, 0.44, 0.43, 0.46],
        [0.25, 0.27, 0.33, 0.28],
        [0.50, 0.49, 0.58, 0.55],
        [0.36, 0.40, 0.41, 0.45],
    ]
)


def overlapping(random: np.random.Generator, windows: int, horizon: int) -> np.ndarray:
    """Differences of windows' errors whose steps have mean 0: moving means over the horizon."""
    steps = random.standard_normal(windows + horizon - 1)
    totals = np.concatenate([[0], np.cumsum(steps)])
    return (totals[horizon:] - totals[:-horizon]) / horizon


def excludes_zero(trials: int, windows: int, horizon: int, seed: int) -> float:
    """How often the interval of differences of mean 0 excludes 0."""
    random = np.random.default_rng(seed)
    intervals = [
        paired_interval(overlapping(random, windows, horizon), horizon) for _ in range(trials)
    ]
    return float(np.mean([low > 0 or high < 0 for low, high in intervals]))


def test_under_equal_models_the_interval_rarely_excludes_zero():
    assert excludes_zero(150, 1200, 24, seed=1) <= 0.10


@pytest.mark.slow
@pytest.mark.parametrize(("windows", "horizon"), [(2785, 96), (2400, 24), (1300, 96)])
def test_under_equal_models_the_interval_excludes_zero_in_one_of_twenty_trials(windows, horizon):
    # 400 trials at 5 %: 0.05 +- 2.6 standard errors of 0.011
    assert 0.02 <= excludes_zero(400, windows, horizon, seed=3) <= 0.08


def test_an_interval_finds_a_difference_and_contains_the_mean():
    random = np.random.default_rng(0)
    differences = overlapping(random, 1000, 24) + 0.5
    low, high = paired_interval(differences, 24)
    assert 0 < low < differences.mean() < high
    flipped = paired_interval(-differences, 24)
    assert flipped[1] < 0
    assert paired_interval(differences, 24) == (low, high)


def test_independent_differences_have_the_interval_of_student():
    differences = np.random.default_rng(5).standard_normal(4000)
    low, high = paired_interval(differences, 1)
    expected = stats.t.interval(0.95, 3999, differences.mean(), stats.sem(differences))
    np.testing.assert_allclose((low, high), expected, atol=0.004)


def test_too_few_windows_have_no_interval():
    assert paired_interval(np.arange(95.0), 24) is None
    assert paired_interval(np.random.default_rng(0).standard_normal(96), 24) is not None


def test_equal_forecasts_have_an_interval_without_width():
    assert paired_interval(np.zeros(100), 10) == (0, 0)


def test_circular_sums():
    assert circular_sums(np.array([1.0, 2, 3, 4]), 3).tolist() == [6, 9, 8, 7]
    assert circular_sums(np.array([1.0, 2, 3]), 0).tolist() == [0, 0, 0]


def test_the_variance_of_blocks_is_that_of_resampled_means():
    values = overlapping(np.random.default_rng(2), 400, 20)
    values -= values.mean()
    sums = circular_sums(values, 20)
    random = np.random.default_rng(0)
    means = sums[random.integers(400, size=(20000, 20))].sum(axis=1) / 400
    assert block_variance(values, 20) == pytest.approx(means.var(), rel=0.05)


def test_deviations_have_one_degree_less_than_seeds():
    mean, deviation = mean_and_deviation([0.3, 0.4, 0.8])
    assert mean == pytest.approx(0.5)
    assert deviation == pytest.approx(stats.tstd([0.3, 0.4, 0.8]))
    assert mean_and_deviation([0.3]) == (0.3, None)


def test_friedman_is_scipys():
    expected = stats.friedmanchisquare(*ERRORS.T)
    assert friedman(ERRORS) == pytest.approx((expected.statistic, expected.pvalue))
    assert friedman(ERRORS) == pytest.approx((12.0, 0.007383160505359769))
    assert friedman(ERRORS[:, :2]) is None
    assert friedman(ERRORS[:1]) is None
    assert friedman(np.ones((4, 3))) is None


def test_nemenyi_agrees_with_scikit_posthocs():
    """`posthoc_nemenyi_friedman(ERRORS)` of scikit-posthocs 0.17.1 with scipy 1.17.1."""
    expected = [
        [1.000000, 0.536287, 0.009453, 0.036648],
        [0.536287, 1.000000, 0.278639, 0.536287],
        [0.009453, 0.278639, 1.000000, 0.970178],
        [0.036648, 0.536287, 0.970178, 1.000000],
    ]
    np.testing.assert_allclose(nemenyi(ERRORS), expected, atol=1e-6)
    np.testing.assert_allclose(ranks(ERRORS), [7 / 6, 13 / 6, 3.5, 19 / 6])


def test_critical_differences():
    """Demšar (JMLR 7, 2006), table 5: q at 5 % is 1.960, 2.343, 2.569 for 2, 3 and 4 models."""
    for models, q in ((2, 1.960), (3, 2.343), (4, 2.569), (10, 3.164)):
        expected = q * np.sqrt(models * (models + 1) / (6 * 14))
        assert critical_difference(models, 14) == pytest.approx(expected, abs=1e-3)


def test_two_models_differ_by_the_critical_difference_where_p_is_five_percent():
    models, datasets = 4, 6
    limit = critical_difference(models, datasets)
    spread = limit / np.sqrt(models * (models + 1) / 6 / datasets) * np.sqrt(2)
    assert stats.studentized_range.sf(spread, models, np.inf) == pytest.approx(0.05, abs=1e-6)


def test_bars_connect_models_within_the_critical_difference():
    assert cliques([1, 2, 3, 4], 1.5) == [(0, 1), (1, 2), (2, 3)]
    assert cliques([1, 1.2, 3], 1) == [(0, 1)]
    assert cliques([1, 1.2, 1.4], 5) == [(0, 2)]
    assert cliques([1, 3], 1) == []
