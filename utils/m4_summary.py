"""Scores of the M4 competition: sMAPE, MASE, MAPE and OWA, by frequency and by group."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

OTHERS = ("Weekly", "Daily", "Hourly")
GROUPS = ("Yearly", "Quarterly", "Monthly", "Others", "Average")
SCORES = ("smape", "mase", "mape")


@dataclass(frozen=True)
class PatternScores:
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


def overall_weighted_average(ours: dict[str, float], naive2: dict[str, float]) -> float:
    """OWA: the mean of the ratios of sMAPE and MASE to those of Naive2."""
    return (ours["smape"] / naive2["smape"] + ours["mase"] / naive2["mase"]) / 2


def summarise(scores: dict[str, PatternScores]) -> dict[str, dict[str, float]]:
    """Average the six frequencies by the competition's groups.

    Args:
        scores: of all six frequencies, by name.

    Returns:
        For each score, its value by group; Others and Average are weighted by number of series.
    """

    def mean(patterns: Sequence[str], name: str) -> float:
        series = [scores[pattern].series for pattern in patterns]
        values = [getattr(scores[pattern], name) for pattern in patterns]
        return float(np.average(values, weights=series))

    members = {group: (group,) for group in GROUPS[:3]}
    members |= {"Others": OTHERS, "Average": tuple(scores)}
    return {
        name: {group: mean(patterns, name) for group, patterns in members.items()}
        for name in SCORES
    }


def summarise_owa(
    ours: dict[str, dict[str, float]], naive2: dict[str, dict[str, float]]
) -> dict[str, float]:
    """OWA of each group, from two results of `summarise`."""
    return {
        group: overall_weighted_average(
            {name: ours[name][group] for name in ("smape", "mase")},
            {name: naive2[name][group] for name in ("smape", "mase")},
        )
        for group in GROUPS
    }


def average_of_runs(runs: Sequence[Mapping], group: str, metric: str) -> float:
    """Average a score over frequencies, weighted by number of series; NaN if it is unknown.

    OWA needs the scores of Naive2. It is taken from a run's summary of all forecasts whose sMAPE
    and MASE are those of these runs.

    Args:
        runs: a row of `utils.runs` for each frequency.
    """
    if metric in SCORES:
        scores = {
            run["horizon"]: PatternScores(run["windows"], *(run[name] for name in SCORES))
            for run in runs
        }
        if group == "Average":
            return summarise(scores)[metric][group]
        values = [getattr(score, metric) for score in scores.values()]
        return float(np.average(values, weights=[score.series for score in scores.values()]))
    for run in runs:
        summary = json.loads(run["summary"] or "{}")
        if group in summary.get(metric, {}) and all(
            np.isclose(summary[name][group], average_of_runs(runs, group, name))
            for name in ("smape", "mase")
        ):
            return float(summary[metric][group])
    return float("nan")
