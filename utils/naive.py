"""Naive forecasts, which a model has to beat (Hyndman and Athanasopoulos, FPP3, section 5.2)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Series = TypeVar("Series", Tensor, np.ndarray)

LAST_VALUE, SEASONAL_NAIVE = "LastValue", "SeasonalNaive"  # as the models are named
TITLES = {LAST_VALUE: "last value", SEASONAL_NAIVE: "seasonal naive"}


def seasonal_naive(x: "Series", pred_len: int, period: int) -> "Series":
    """Repeat the last `period` steps of `x` `[batch, length, ..]` over `pred_len` steps; 1 repeats
    the last value.

    Raises:
        ValueError: `x` is shorter than `period`.
    """
    if x.shape[1] < period:
        raise ValueError(f"{x.shape[1]} steps are shorter than a period of {period}")
    return x[:, [-period + step % period for step in range(pred_len)]]


def naive_forecasts(x: "Series", pred_len: int, season_length: int) -> "dict[str, Series]":
    """Forecast `[batch, pred_len, ..]` from `x` `[batch, length, ..]`, by model.

    Args:
        season_length: steps of a season; 0 or 1, or more than `x` has, leaves the seasonal naive
            forecast out.
    """
    forecasts = {LAST_VALUE: seasonal_naive(x, pred_len, 1)}
    if 1 < season_length <= x.shape[1]:
        forecasts[SEASONAL_NAIVE] = seasonal_naive(x, pred_len, season_length)
    return forecasts


def naive_lines(history: "np.ndarray", steps: int, season: int) -> "dict[str, np.ndarray]":
    """Forecast a history `[length, ..]` for a figure: `[steps, ..]` by title, the best known
    forecast first; see `naive_forecasts`."""
    forecasts = naive_forecasts(history[None], steps, season)
    return {title(name, season): pred[0] for name, pred in reversed(forecasts.items())}


def title(name: str, season: int) -> str:
    """Name a forecast and the steps of its season, where it has one."""
    return f"{TITLES[name]} ({season})" if name == SEASONAL_NAIVE else TITLES[name]


def with_season(
    scores: Mapping[str, Mapping[str, float]], season_length: int
) -> dict[str, dict[str, float]]:
    """Add the steps of the season to the scores of the seasonal naive forecast."""
    found = {name: dict(values) for name, values in scores.items()}
    if SEASONAL_NAIVE in found:
        found[SEASONAL_NAIVE]["season"] = season_length
    return found


def print_naive(
    model: str, scores: Mapping[str, float], naive: Mapping[str, Mapping[str, float]]
) -> None:
    """Print the scores of naive forecasts, and by which scores a model loses to the best of them.

    Args:
        model: its name. scores: of the model, by which it is judged, the lower the better.
        naive: scores by name, of each naive forecast, as `with_season` returns them.
    """
    parts = []
    for name, values in naive.items():
        numbers = (f"{key} {value:.4g}" for key, value in values.items() if key != "season")
        parts.append(f"{title(name, values.get('season'))} {', '.join(numbers)}")
    print(f"on the same windows: {'; '.join(parts)}")
    lost: dict[str, list[str]] = {}
    for score, value in scores.items():
        best = min(naive, key=lambda name, score=score: naive[name][score])
        least = naive[best][score]
        if value > least * (1 + 1e-6):  # more than rounding
            lost.setdefault(best, []).append(f"{score} {value:.4g} against {least:.4g}")
    for name, found in lost.items():
        print(f"{model} loses to the {TITLES[name]} forecast: {', '.join(found)}")
