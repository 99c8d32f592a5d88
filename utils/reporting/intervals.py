"""Prediction intervals of runs: coverage beside the nominal level, width and pinball loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from utils.reporting.charts import Line, chart
from utils.reporting.figures import colours, row_name
from utils.reporting.grids import ABSENT, Cell, Grid, label_columns, row_labels, title_of
from utils.reporting.runs import Run
from utils.reporting.statistics import mean_and_deviation
from utils.reporting.tables import Row, Table

SCORES = ("coverage", "width", "pinball")


@dataclass(frozen=True)
class LevelScores:
    """The scores of one run's intervals at one level.

    Attributes:
        coverage: in %. width: mean. pinball: mean of the quantile losses of both bounds.
        by_step: coverage by step of the horizon in %; may be empty.
    """

    coverage: float
    width: float
    pinball: float
    by_step: Sequence[float]


def interval_scores(run: Run, recalibrated: bool = False) -> dict[float, LevelScores]:
    """The scores of a run's intervals by nominal level in %; empty if it has none.

    Args:
        recalibrated: those of intervals that are calibrated anew as the truth becomes known.

    Raises:
        ValueError: the entry `intervals` of its record is damaged.
    """
    entry = run.record.get("intervals")
    if not entry:
        return {}
    try:
        if recalibrated:
            if "recalibrated" not in entry:
                return {}
            entry = {**entry, **entry["recalibrated"]}
        levels = [float(level) for level in entry["levels"]]
        scores = np.array([entry[name] for name in SCORES], dtype=float)
        steps = entry.get("coverage_by_step") or [[] for _ in levels]
        by_step = [np.array(values, dtype=float) * 100 for values in steps]
        if scores.shape != (3, len(levels)) or not np.isfinite([*levels, *scores.flat]).all():
            raise ValueError
        if any(steps.ndim != 1 or not np.isfinite(steps).all() for steps in by_step):
            raise ValueError
        return {
            level: LevelScores(100 * coverage, width, pinball, steps.tolist())
            for level, (coverage, width, pinball), steps in zip(
                levels, scores.T.tolist(), by_step, strict=True
            )
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{run.folder}: the entry intervals of run.json is damaged") from None


Found = dict[tuple[Row, str], dict[int, dict[float, LevelScores]]]


def table_scores(table: Table, problems: list[str], recalibrated: bool = False) -> Found:
    """Scores of intervals by row, method, seed and level, of the runs that have any; the last
    argument is that of `interval_scores`.

    Args:
        problems: gets a line for each run whose entry is damaged.
    """
    found: Found = {}
    for row in table.rows:
        for method in table.methods:
            for seed, run in sorted(table.runs.get((row, method), {}).items()):
                try:
                    scores = interval_scores(run, recalibrated)
                except ValueError as error:
                    problems.append(f"{error}: not among the prediction intervals")
                    continue
                if scores:
                    found.setdefault((row, method), {})[seed] = scores
    return found


def intervals_grid(table: Table, found: Found, recalibrated: Found) -> Grid | None:
    """Coverage, width and pinball loss of each model's intervals; None if no run has any.

    Args:
        found, recalibrated: see `table_scores`.
    """
    if not found:
        return None
    levels = sorted({level for seeds in found.values() for s in seeds.values() for level in s})
    labels = [*label_columns(table), ("", "model"), ("", "n")]
    grid = Grid(
        f"{table.conditions.slug}_intervals",
        title_of(table),
        interval_notes(table, found),
        labels + [(f"{level:g} %", name) for level in levels for name in SCORES],
        [],
        labels=len(labels),
        part="Prediction intervals",
    )
    for (row, method), seeds in found.items():
        again = recalibrated.get((row, method), {})
        for name, of_row in ((method, seeds), (f"{method}, recalibrated", again)):
            if of_row:
                add_row(grid, table, row, name, levels, of_row)
    return grid


def add_row(
    grid: Grid,
    table: Table,
    row: Row,
    name: str,
    levels: Sequence[float],
    seeds: Mapping[int, Mapping[float, LevelScores]],
) -> None:
    """Add the scores of a method, by seed and level, to the grid."""
    cells = [*row_labels(table, row), Cell(name), Cell(str(len(seeds)), len(seeds))]
    for level in levels:
        of_level = [scores[level] for scores in seeds.values() if level in scores]
        for metric in SCORES:
            values = [getattr(scores, metric) for scores in of_level]
            cells.append(mean_cell(values, 1 if metric == "coverage" else 3))
            if values:
                mean, deviation = mean_and_deviation(values)
                grid.records.append(
                    {
                        "dataset": row.dataset,
                        "horizon": row.horizon,
                        "method": name,
                        "level": level,
                        "metric": metric,
                        "mean": mean,
                        "std": deviation,
                        "n": len(values),
                    }
                )
    grid.rows.append(cells)


def mean_cell(values: Sequence[float], digits: int) -> Cell:
    """A cell with mean and deviation over seeds, or a dash for none."""
    if not values:
        return Cell(ABSENT)
    mean, deviation = mean_and_deviation(values)
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return Cell(f"{mean:.{digits}f}{spread}", mean)


def interval_notes(table: Table, found: Found) -> list[str]:
    """The lines above the table: what its numbers are, and how the intervals were made."""
    entries = [
        table.runs[cell][seed].record["intervals"] for cell, of in found.items() for seed in of
    ]
    units = sorted({"original" if e.get("original_units") else "standardised" for e in entries})
    methods = sorted({str(e.get("method", "unknown")) for e in entries})
    counts = (entry.get("calibration_windows") for entry in entries)
    windows = sorted({count for count in counts if isinstance(count, int)})
    calibration = f", calibrated on {_span(windows)} validation windows" if windows else ""
    return [
        f"Method: {', '.join(methods)}{calibration}. Coverage: percentage of test values within "
        "the interval, to compare with the nominal level in the heading. Recalibrated: by the "
        "errors of earlier test windows too, once their truth is known.",
        "Width: mean over all values. Pinball: mean of the quantile losses of both bounds; smaller "
        f"is better. Both are in {' and '.join(units)} units. Mean ± standard deviation over n "
        "seeds.",
    ]


def _span(counts: Sequence[int]) -> str:
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def coverage_by_step(table: Table, found: Found) -> list[str]:
    """Coverage by step of the horizon, mean over seeds: a chart for each row and level."""
    charts = []
    for row in table.rows:
        of_row: Mapping = {m: seeds for (r, m), seeds in found.items() if r == row}
        for level in sorted(
            {level for seeds in of_row.values() for s in seeds.values() for level in s}
        ):
            lines = []
            for method, seeds in of_row.items():
                steps = [scores[level].by_step for scores in seeds.values() if level in scores]
                if steps and all(len(s) == len(steps[0]) > 0 for s in steps):
                    mean, colour = np.mean(steps, axis=0).tolist(), colours(table)[method]
                    lines.append(Line(method, range(1, len(mean) + 1), mean, colour))
            if lines:
                ends = [1, max(line.x[-1] for line in lines)]
                lines.append(Line("nominal", ends, [level, level], len(table.methods), True))
                charts.append(chart(f"{row_name(row)}, {level:g} %", lines, "step", "coverage %"))
    return charts
