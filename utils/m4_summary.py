"""Scores of the M4 competition: sMAPE, MASE, MAPE and OWA, by frequency and by group."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

OTHERS = ("Weekly", "Daily", "Hourly")
SINGLE = ("Yearly", "Quarterly", "Monthly")
GROUPS = {name: (name,) for name in SINGLE} | {"Others": OTHERS, "Average": (*SINGLE, *OTHERS)}
SCORES = ("smape", "mase", "mape")


class PatternScores(NamedTuple):
    """Number of series of one frequency; means of sMAPE (0 to 200), MASE and MAPE (%) over them."""

    series: int
    smape: float
    mase: float
    mape: float


def smape(forecasts: np.ndarray, targets: np.ndarray) -> float:
    """Symmetric mean absolute percentage error, 0 to 200, of arrays of the same shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(forecasts - targets) / (np.abs(forecasts) + np.abs(targets))
    return float(200 * np.nan_to_num(errors).mean())


def score_pattern(
    forecasts: np.ndarray, targets: np.ndarray, insamples: Sequence[np.ndarray], period: int
) -> PatternScores:
    """Score the forecasts of one frequency as the competition does.

    Args:
        forecasts, targets: `[series, horizon]`. insamples: training values of each series.
        period: m of MASE, which divides by the mean of |y_t - y_(t-m)| over the training values.
    """
    error = np.abs(forecasts - targets)
    scale = np.array([np.abs(values[period:] - values[:-period]).mean() for values in insamples])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = error / np.abs(targets)
    return PatternScores(
        series=len(forecasts),
        smape=smape(forecasts, targets),
        mase=float((error.mean(axis=1) / scale).mean()),
        mape=float(100 * relative.mean()),
    )


def overall_weighted_average(ours: Mapping[str, float], naive2: Mapping[str, float]) -> float:
    """OWA: the mean of the ratios of sMAPE and MASE to those of Naive2."""
    return (ours["smape"] / naive2["smape"] + ours["mase"] / naive2["mase"]) / 2


def summarise(
    scores: Mapping[str, PatternScores], naive2: Mapping[str, PatternScores] | None = None
) -> dict[str, dict[str, float]]:
    """Average the scores of all six frequencies by the competition's groups: for each score its
    value by group, with those of Naive2 OWA too; Others and Average are weighted by number of
    series."""

    def mean(patterns: Sequence[str], name: str) -> float:
        values = [getattr(scores[pattern], name) for pattern in patterns]
        return float(np.average(values, weights=[scores[pattern].series for pattern in patterns]))

    found = {name: {group: mean(of, name) for group, of in GROUPS.items()} for name in SCORES}
    if naive2:
        both, owa = (found, summarise(naive2)), {}
        for group in GROUPS:
            of_group = ({name: summary[name][group] for name in SCORES} for summary in both)
            owa[group] = overall_weighted_average(*of_group)
        found["owa"] = owa
    return found


def average_of_runs(runs: Sequence[Mapping], group: str, metric: str) -> float:
    """Average a score over the frequencies of a group, of which `runs` has a row of `utils.runs`
    each, weighted by number of series; NaN if it is unknown.

    OWA needs the scores of Naive2. It is taken from a run's summary of all forecasts whose sMAPE
    and MASE are those of these runs.
    """

    def mean(name: str) -> float:
        values, series = ([run[column] for run in runs] for column in (name, "windows"))
        return float(np.average(values, weights=series))

    if metric in SCORES:
        return mean(metric)
    for run in runs:
        found = json.loads(run["summary"] or "{}")
        is_of_these = all(
            group in found.get(name, {}) and np.isclose(found[name][group], mean(name))
            for name in ("smape", "mase")
        )
        if is_of_these and group in found.get(metric, {}):
            return float(found[metric][group])
    return float("nan")
