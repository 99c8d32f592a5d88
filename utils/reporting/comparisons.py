"""Models against each other: paired differences over windows, and ranks over data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from utils.reporting.grids import ABSENT, Cell, Grid, number, row_labels, title_of
from utils.reporting.runs import Run
from utils.reporting.statistics import (
    critical_difference,
    friedman,
    nemenyi,
    paired_interval,
    ranks,
)
from utils.reporting.tables import AVERAGE, Table

RANKS = "Ranks over data sets"
FORECASTING = ("long_term", "few_shot", "zero_shot")
CHUNK = 1 << 22  # numbers of an array in memory at a time


class OtherWindows(Exception):
    """Two runs were tested on different windows."""


@dataclass(frozen=True)
class Ranking:
    """Ranks of models over data sets.

    Attributes:
        methods: names. mean_ranks: 1 is the best. datasets: names.
        difference: Nemenyi's critical difference of mean ranks at 5 %.
        friedman: chi-square and p-value, None where it is not defined.
        p_values: Nemenyi's, of all pairs.
    """

    methods: list[str]
    mean_ranks: np.ndarray
    datasets: list[str]
    difference: float
    friedman: tuple[float, float] | None
    p_values: np.ndarray


@cache
def window_errors(run: Run) -> np.ndarray | None:
    """MSE of each test window `[windows]` of a forecasting run.

    `pred.npy` and `true.npy` `[windows, steps, channels]` may be larger than memory.

    Returns:
        None if a file is absent or damaged, or the shapes differ.
    """
    try:
        arrays = [
            np.load(run.array(name), mmap_mode="r", allow_pickle=False) for name in ("pred", "true")
        ]
    except (ValueError, OSError, EOFError):
        return None
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim != 3 or not arrays[0].size:
        return None
    count = len(arrays[0])
    step = max(1, CHUNK * count // arrays[0].size)
    errors = [
        np.square(np.subtract(*(a[i : i + step] for a in arrays), dtype=np.float64)).mean((1, 2))
        for i in range(0, count, step)
    ]
    errors = np.concatenate(errors)
    return errors if np.isfinite(errors).all() else None


def same_truth(one: Run, other: Run) -> bool:
    """Whether `true.npy` of two runs is equal, to float32's rounding."""
    arrays = [np.load(run.array("true"), mmap_mode="r", allow_pickle=False) for run in (one, other)]
    if arrays[0].shape != arrays[1].shape:
        return False
    step = max(1, CHUNK * len(arrays[0]) // arrays[0].size)
    return all(
        np.allclose(*(a[i : i + step] for a in arrays), rtol=1e-4, atol=1e-4)
        for i in range(0, len(arrays[0]), step)
    )


def paired_differences(one: dict[int, Run], other: dict[int, Run]) -> tuple[np.ndarray, int]:
    """Differences of MSE, window by window, of runs of the same seed, averaged over seeds.

    A model without trained parameters is compared with every seed of the other.

    Args:
        one, other: runs by seed, with arrays.

    Returns:
        Differences `[windows]`, and the number of pairs; 0 if no seed is common.

    Raises:
        OtherWindows: the truth of two runs differs.
    """

    def of(runs: dict[int, Run], seed: int) -> Run | None:
        any_seed = next(iter(runs.values()))
        return runs.get(seed, None if any_seed.is_trained else any_seed)

    pairs = [(of(one, seed), of(other, seed)) for seed in sorted(one.keys() | other.keys())]
    pairs = [pair for pair in pairs if None not in pair]
    differences = []
    for pair in pairs:
        if not same_truth(*pair):
            raise OtherWindows
        first, second = map(window_errors, pair)
        differences.append(first - second)
    return (np.mean(differences, axis=0), len(pairs)) if pairs else (np.empty(0), 0)


def differences_grid(table: Table, problems: list[str]) -> Grid | None:
    """Paired differences of every two models of a forecasting table; None if there are none.

    Args:
        problems: gets a line for each pair whose arrays can't be compared.
    """
    if table.conditions.kind not in FORECASTING:
        return None
    columns = "data set|horizon|model A|model B|A minus B|95 % interval|n|better"
    grid = Grid(
        f"{table.conditions.slug}_differences",
        title_of(table),
        [
            "Mean over test windows of the MSE of A minus that of B, averaged over n pairs of runs "
            "of the same seed; circular block bootstrap over windows, blocks of the horizon's "
            "length. The interval covers the choice of windows, not that of seeds. A dash: fewer "
            "windows than four horizons, too few for an interval.",
        ],
        [("", name) for name in columns.split("|")],
        [],
        labels=4,
        part="Paired differences of MSE",
    )
    without: list[Run] = []
    for row in table.rows:
        usable = {}
        for method in table.methods:
            runs = table.runs.get((row, method), {})
            bad = [run for run in runs.values() if window_errors(run) is None]
            without += [run for run in bad if not run.has_arrays]
            problems += [
                f"{run.folder}: pred.npy or true.npy absent or damaged: not in paired differences"
                for run in bad
                if run.has_arrays
            ]
            usable[method] = {seed: run for seed, run in runs.items() if run not in bad}
        for a, b in combinations((m for m, runs in usable.items() if runs), 2):
            one, other = usable[a], usable[b]
            try:
                differences, n = paired_differences(one, other)
            except OtherWindows:
                problems.append(
                    f"{a} and {b} on {row.dataset} {row.horizon}: true.npy differs: not compared"
                )
                continue
            if not n:
                continue
            interval = paired_interval(differences, int(row.horizon))
            mean = float(differences.mean())
            better = (
                a if interval and interval[1] < 0 else b if interval and interval[0] > 0 else ""
            )
            text = f"{interval[0]:+.4f} to {interval[1]:+.4f}" if interval else ABSENT
            grid.rows.append(
                [*row_labels(table, row), Cell(a), Cell(b), number(mean, 4, sign=True),
                 Cell(text, interval[0] if interval else None), Cell(str(n), n),
                 Cell(better or ABSENT)]
            )  # fmt: skip
            low, high = interval or (None, None)
            grid.records.append(
                {"dataset": row.dataset, "horizon": row.horizon, "model_a": a, "model_b": b,
                 "windows": len(differences), "difference": mean, "low": low, "high": high, "n": n}
            )  # fmt: skip
    if without:
        problems.append(
            f"{grid.table}: {len(without)} runs without pred.npy and true.npy: not in paired "
            "differences"
        )
    return grid if grid.rows else None


def rank_methods(table: Table) -> Ranking | None:
    """Rank the models that have every data set of the table, by their averages over horizons.

    Returns:
        None for fewer than two models or two data sets.
    """
    metric = table.kind.metrics[0]
    rows = [
        next((a for a in table.averages() if a.dataset == name and a.horizon == AVERAGE), None)
        or next(row for row in table.rows if row.dataset == name)
        for name in table.datasets
    ]
    if table.conditions.kind == "short_term":
        rows = table.rows
    found = {m: [table.summary(row, m, metric) for row in rows] for m in table.methods}
    methods = [m for m, summaries in found.items() if all(summaries)]
    if len(methods) < 2 or len(rows) < 2:
        return None
    errors = np.array([[s.mean for s in found[m]] for m in methods]).T
    errors = -errors if table.kind.higher_is_better else errors
    return Ranking(
        methods,
        ranks(errors),
        [" ".join(filter(None, row)) for row in rows],
        critical_difference(len(methods), len(rows)),
        friedman(errors),
        nemenyi(errors),
    )


def ranking_grid(table: Table, ranking: Ranking) -> Grid:
    """Mean ranks and Nemenyi's p-values."""
    if ranking.friedman:
        test = "Friedman: chi-square {:.3f}, p = {:.3g}.".format(*ranking.friedman)
    else:
        test = "Friedman's test needs three models that differ."
    absent = [method for method in table.methods if method not in ranking.methods]
    left = f" Without {', '.join(absent)}, which lack a data set or horizon." if absent else ""
    grid = Grid(
        f"{table.conditions.slug}_ranks",
        title_of(table),
        [
            f"{table.kind.metrics[0].upper()} on {', '.join(ranking.datasets)}. {test} Nemenyi's "
            f"critical difference at 5 %: {ranking.difference:.3f}. Right: Nemenyi's "
            f"p-values.{left}",
        ],
        [("", "model"), ("", "mean rank"), *[("p against", m) for m in ranking.methods]],
        [],
        labels=1,
        part=RANKS,
    )
    order: Sequence[int] = np.argsort(ranking.mean_ranks, kind="stable")
    for i in order:
        p_values = [
            Cell("") if i == j else number(float(p), 3) for j, p in enumerate(ranking.p_values[i])
        ]
        rank = number(float(ranking.mean_ranks[i]), 2)
        grid.rows.append([Cell(ranking.methods[i]), rank, *p_values])
        grid.records.append({"method": ranking.methods[i], "mean_rank": ranking.mean_ranks[i]})
    return grid
