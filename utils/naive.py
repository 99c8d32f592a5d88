"""Naive forecasts, which a model has to beat (Hyndman and Athanasopoulos, FPP3, section 5.2)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

LAST_VALUE, SEASONAL_NAIVE = "LastValue", "SeasonalNaive"  # as the models are named


def last_value(x: "Tensor", pred_len: int) -> "Tensor":
    """Repeat the last step of `x` `[batch, length, channels]` `pred_len` times."""
    return x[:, -1:].expand(-1, pred_len, -1)


def seasonal_naive(x: "Tensor", pred_len: int, period: int) -> "Tensor":
    """Repeat the last `period` steps of `x` `[batch, length, channels]` over `pred_len` steps.

    Raises:
        ValueError: `x` is shorter than `period`.
    """
    if x.shape[1] < period:
        raise ValueError(f"{x.shape[1]} steps are shorter than a period of {period}")
    return x[:, _of_last_season(pred_len, period)]


def naive_forecasts(x: "Tensor", pred_len: int, season_length: int) -> "dict[str, Tensor]":
    """Forecast `[batch, pred_len, channels]` from `x` `[batch, length, channels]`, by model.

    Args:
        season_length: steps of a season; 0 or 1, or more than `x` has, leaves the seasonal naive
            forecast out.
    """
    forecasts = {LAST_VALUE: last_value(x, pred_len)}
    if 1 < season_length <= x.shape[1]:
        forecasts[SEASONAL_NAIVE] = seasonal_naive(x, pred_len, season_length)
    return forecasts


def naive_lines(history: "np.ndarray", steps: int, season: int) -> "dict[str, np.ndarray]":
    """Forecast a single history for a figure: by the last season if it has one, and by the last
    value.

    Args:
        history: `[length, ..]`. season: in steps; 0 or 1 if there is none.

    Returns:
        The forecasts `[steps, ..]`, the best known one first, by their names there.
    """
    lines = {}
    if 1 < season <= len(history):
        lines[f"seasonal naive ({season})"] = history[_of_last_season(steps, season)]
    return lines | {"last value": history[[-1] * steps]}


def naive_forecast(history: "np.ndarray", steps: int, season: int) -> "tuple[str, np.ndarray]":
    """Return the first of `naive_lines`, with its name."""
    return next(iter(naive_lines(history, steps, season).items()))


def _of_last_season(steps: int, period: int) -> list[int]:
    """Indices of the last `period` steps, repeated over `steps`."""
    return [-period + step % period for step in range(steps)]


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
    titles = {LAST_VALUE: "last value", SEASONAL_NAIVE: "seasonal naive"}
    parts = []
    for name, values in naive.items():
        season = f" ({values['season']})" if "season" in values else ""
        numbers = (f"{key} {value:.4g}" for key, value in values.items() if key != "season")
        parts.append(f"{titles[name]}{season} {', '.join(numbers)}")
    print(f"on the same windows: {'; '.join(parts)}")
    lost: dict[str, list[str]] = {}
    for score, value in scores.items():
        best = min(naive, key=lambda name, score=score: naive[name][score])
        least = naive[best][score]
        if value > least * (1 + 1e-6):  # more than rounding
            lost.setdefault(best, []).append(f"{score} {value:.4g} against {least:.4g}")
    for name, found in lost.items():
        print(f"{model} loses to the {titles[name]} forecast: {', '.join(found)}")
