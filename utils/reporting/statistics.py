"""Statistics of comparisons: intervals of paired differences, Friedman's and Nemenyi's tests."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000
SEED = 0


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (ddof 1); None instead of the deviation of a single value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), deviation


def paired_interval(
    differences: np.ndarray, block: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the mean of autocorrelated differences, by a circular block bootstrap.

    Windows slide by one step, so errors of windows less than a horizon apart have steps in common.
    Blocks of the horizon's length preserve most of that dependence, not all of it: for differences
    that are moving means over a horizon they see two thirds of the variance of the mean. So the
    deviations of the bootstrap are scaled by two factors:

    - the square root of (2 V(2H) - V(H)) / V(H), where V(b) is the bootstrap's variance with blocks
      b and H the horizon, which is the variance by Politis and Romano's trapezoidal lag window
      (J. Time Series Analysis 16, 1995), and exact for moving means; at least 1;
    - Student's quantile over the normal one, with windows / 2H - 1 degrees of freedom.

    Args:
        differences: of the errors of two models `[windows]`, in the order of the windows.
        block: length of the blocks: the horizon, in steps.
        level: coverage.

    Returns:
        The ends of the interval; None for fewer windows than four blocks.
    """
    count = len(differences)
    if count < 4 * block:
        return None
    mean = differences.mean()
    centred = differences - mean
    variance = block_variance(centred, block)
    if variance == 0:
        return float(mean), float(mean)
    lag_window = 2 * block_variance(centred, 2 * block) - variance
    tail = (1 + level) / 2
    student = stats.t.ppf(tail, count / (2 * block) - 1) / stats.norm.ppf(tail)
    scale = math.sqrt(max(lag_window / variance, 1)) * student

    # sums of whole blocks, and of a shorter last one
    blocks, rest = divmod(count, block)
    starts = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, blocks + 1))
    sums = circular_sums(centred, block)[starts[:, :-1]].sum(axis=1)
    sums += circular_sums(centred, rest)[starts[:, -1]]
    low, high = np.quantile(sums / count, [1 - tail, tail]) * scale
    return float(mean + low), float(mean + high)


def circular_sums(values: np.ndarray, length: int) -> np.ndarray:
    """Sums over `length` values from each start `[values]`; the first follows the last."""
    totals = np.concatenate([[0], np.cumsum(np.concatenate([values, values[:length]]))])
    return totals[length : length + len(values)] - totals[: len(values)]


def block_variance(centred: np.ndarray, block: int) -> float:
    """Variance of the mean in a circular block bootstrap of values whose mean is 0."""
    return float((circular_sums(centred, block) ** 2).mean()) / block / len(centred)


def ranks(errors: np.ndarray) -> np.ndarray:
    """Mean rank of each model, 1 the best.

    Args:
        errors: smaller is better `[data sets, models]`.
    """
    return stats.rankdata(errors, axis=1).mean(axis=0)


def friedman(errors: np.ndarray) -> tuple[float, float] | None:
    """Friedman's chi-square and its p-value over data sets.

    Args:
        errors: `[data sets, models]`.

    Returns:
        None for fewer than three models or two data sets, or where all are equal.
    """
    if errors.shape[0] < 2 or errors.shape[1] < 3:
        return None
    if (errors == errors[:, :1]).all():
        return None
    result = stats.friedmanchisquare(*errors.T)
    return float(result.statistic), float(result.pvalue)


def critical_difference(models: int, datasets: int, level: float = 0.95) -> float:
    """Nemenyi's critical difference of mean ranks (Demšar, JMLR 7, 2006, section 3.2.2)."""
    quantile = stats.studentized_range.ppf(level, models, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(models * (models + 1) / (6 * datasets)))


def nemenyi(errors: np.ndarray) -> np.ndarray:
    """Nemenyi's p-values of all pairs `[models, models]`, from errors `[data sets, models]`."""
    datasets, models = errors.shape
    mean = ranks(errors)
    distance = np.abs(mean[:, None] - mean[None]) / math.sqrt(models * (models + 1) / 6 / datasets)
    return np.clip(stats.studentized_range.sf(distance * math.sqrt(2), models, np.inf), 0, 1)
