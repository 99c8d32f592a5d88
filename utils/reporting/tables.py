"""Runs placed in tables: which belong together, and their means over seeds."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from utils.files import file_name
from utils.m4_summary import GROUPS, OTHERS, SCORES, PatternScores, summarise
from utils.reporting.methods import OF_ITS_OWN, name_methods
from utils.reporting.runs import KINDS, Kind, Run
from utils.reporting.statistics import mean_and_deviation

# the paper's order; other data sets follow in alphabetical order
ORDER = "ETTm1 ETTm2 ETTh1 ETTh2 weather electricity traffic illness exchange_rate".split()
M4_ORDER = ("Yearly", "Quarterly", "Monthly", *OTHERS)
AVERAGE = "average"
MODELS = "CALF TimeLLM GPT4TS PatchTST iTransformer TimesNet DLinear".split()
NAIVE = ("SeasonalNaive", "LastValue")


@dataclass(frozen=True)
class Conditions:
    """What the runs of a table have in common: nothing else is compared or averaged."""

    kind: str
    percent: int
    protocol: str
    look_back: int | None
    features: str
    units: str

    @classmethod
    def of(cls, run: Run) -> "Conditions":
        units = "original" if run.record["test"].get("original_units") else "standardised"
        features = run.arguments.get("features", "M")
        return cls(run.kind, run.percent, run.protocol, run.look_back, features, units)

    def differing(self, *, protocol: bool = True) -> list[str]:
        """Describe look-back, protocol (where it is to be named) and the like, for a heading."""
        found = [f"{self.percent} % of the training rows"] if self.percent < 100 else []
        found += [f"look-back {self.look_back}"] if self.look_back is not None else []
        found += [f"protocol {self.protocol}"] if protocol else []
        found += [f"features {self.features}"] if self.features != "M" else []
        return found + (["original units"] if self.units == "original" else [])

    @property
    def slug(self) -> str:
        """A name for files."""
        parts = [self.kind, self.protocol]
        parts += [f"{self.percent}percent"] if self.percent < 100 else []
        parts += [f"sl{self.look_back}"] if self.look_back is not None else []
        parts += [self.features] if self.features != "M" else []
        parts += ["original_units"] if self.units == "original" else []
        return file_name("_".join(parts))


class Row(NamedTuple):
    """A row of a table: a data set, and a horizon or `average`."""

    dataset: str
    horizon: str


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of a score over seeds.

    Attributes:
        deviation: None for one seed. n: number of seeds.
    """

    mean: float
    deviation: float | None
    n: int


@dataclass
class Table:
    """The runs of one table: `runs[row, method][seed]`.

    Attributes:
        stray: methods that only single cells have, because of other options there.
    """

    conditions: Conditions
    stray: set[str] = field(default_factory=set)
    runs: dict[tuple[Row, str], dict[int, Run]] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return KINDS[self.conditions.kind]

    @property
    def methods(self) -> list[str]:
        """The models with their variants: CALF and its rivals, and the naive ones last."""
        return list(self.models)

    @property
    def models(self) -> dict[str, str]:
        """The model of each of `methods`."""
        names = {method: next(iter(runs.values())).model for (_, method), runs in self.runs.items()}
        known = {name: rank for rank, name in enumerate(MODELS)}

        def order(method: str) -> tuple:
            naive = names[method] in NAIVE
            return naive, known.get(names[method], len(known)), names[method], method

        return {method: names[method] for method in sorted(names, key=order)}

    @property
    def rows(self) -> list[Row]:
        """Data sets and horizons of which there is a run."""
        return sorted({row for row, _ in self.runs}, key=row_order)

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(row.dataset for row in self.rows))

    def horizons(self, dataset: str) -> list[str]:
        """The horizons of a data set, of any method."""
        return [row.horizon for row in self.rows if row.dataset == dataset]

    def only(self, methods: Iterable[str], rows: Iterable[Row]) -> "Table":
        """The part of the table with these methods and rows."""
        places = set(itertools.product(rows, methods))
        runs = {place: runs for place, runs in self.runs.items() if place in places}
        return Table(self.conditions, self.stray, runs)

    def of(self, method: str) -> list[Run]:
        """All runs of a method."""
        return [run for row in self.rows for run in self.runs.get((row, method), {}).values()]

    def averages(self) -> list[Row]:
        """The rows of averages: over horizons, over data sets without horizons, or M4's groups."""
        if self.conditions.kind == "short_term":
            complete = set(self.horizons("m4")) == set(M4_ORDER)
            return [Row("m4", group) for group in (*GROUPS[3:-1], AVERAGE)] if complete else []
        if not self.kind.column:
            return [Row(AVERAGE, "")] if len(self.rows) > 1 else []
        return [Row(name, AVERAGE) for name in self.datasets if len(self.horizons(name)) > 1]

    def parts(self, row: Row) -> list[Row]:
        """The rows that an average is over; `row` itself if it is none; nothing without runs."""
        if row in self.rows:
            return [row]
        if row not in self.averages():
            return []
        if row.dataset == AVERAGE:
            return self.rows
        groups = {"Others": OTHERS}
        horizons = groups.get(row.horizon, self.horizons(row.dataset))
        return [Row(row.dataset, horizon) for horizon in horizons]

    def summary(self, row: Row, method: str, metric: str) -> Summary | None:
        """Mean over seeds of a score, or of its average, which needs every part; None without runs.

        If the parts of an average are of different seeds, it is the average of their means, and has
        no deviation.
        """
        by_part = [self.runs.get((part, method), {}) for part in self.parts(row)]
        if not by_part or not all(by_part):
            return None
        seeds = set(by_part[0]).union(*by_part)
        least = min(len(runs) for runs in by_part)
        if all(len(runs) == len(seeds) for runs in by_part):
            of_seed = [self.score(row, [runs[seed] for runs in by_part], metric) for seed in seeds]
            if None in of_seed:
                return None
            return Summary(*mean_and_deviation(sorted(of_seed)), len(seeds))
        if self.conditions.kind == "short_term":
            return None
        means = [np.mean([run.scores[metric] for run in runs.values()]) for runs in by_part]
        return Summary(float(np.mean(means)), None, least)

    def score(self, row: Row, runs: Sequence[Run], metric: str) -> float | None:
        """The score of one run, or the average of several, for M4 as the competition does."""
        if len(runs) == 1:
            return runs[0].scores.get(metric)
        if self.conditions.kind == "short_term":
            return m4_average(runs, row.horizon, metric)
        scores = [run.scores.get(metric) for run in runs]
        return None if None in scores else float(np.mean(scores))

    def marks(self, row: Row, metric: str) -> dict[str, str]:
        """Mark the `best` and the `second` method of a row, ties included, as three decimals
        show."""
        found = {m: self.summary(row, m, metric) for m in self.methods}
        shown = {m: round(summary.mean, 3) for m, summary in found.items() if summary}
        if len(shown) < 2:
            return {}
        places = sorted(set(shown.values()), reverse=self.kind.higher_is_better)[:2]
        names = dict(zip(places, ("best", "second"), strict=False))
        return {m: names[value] for m, value in shown.items() if value in names}


def m4_average(runs: Sequence[Run], group: str, metric: str) -> float | None:
    """Average frequencies by numbers of series; OWA where a run's own summary is of these runs.

    OWA needs the scores of Naive2, which only the summary of the forecasts' folder knows: it counts
    if its sMAPE and MASE are those of these runs.
    """
    group = "Average" if group == AVERAGE else group
    if metric in SCORES:
        scores = {
            run.horizon: PatternScores(run.record["test"]["windows"], **_m4_scores(run))
            for run in runs
        }
        if group == "Average":
            return summarise(scores)[metric]["Average"] if len(scores) == 6 else None
        series = [score.series for score in scores.values()]
        values = [getattr(score, metric) for score in scores.values()]
        return float(np.average(values, weights=series))
    for run in runs:
        summary = run.record.get("summary") or {}
        same = all(
            np.isclose(summary.get(name, {}).get(group, np.nan), m4_average(runs, group, name))
            for name in ("smape", "mase")
        )
        if same and group in summary.get(metric, {}):
            return float(summary[metric][group])
    return None


def _m4_scores(run: Run) -> dict[str, float]:
    return {name: run.scores.get(name, np.nan) for name in SCORES}


def row_order(row: Row) -> tuple:
    """Sort key of rows: data sets as in the paper, horizons by size, frequencies as in M4."""
    source, _, target = row.dataset.partition("->")
    names = tuple((ORDER.index(n) if n in ORDER else len(ORDER), n) for n in (source, target))
    if row.horizon in M4_ORDER:
        return names, float(M4_ORDER.index(row.horizon)), row.horizon
    try:
        return names, float(row.horizon or 0), row.horizon
    except ValueError:
        return names, float("inf"), row.horizon


def make_tables(runs: Iterable[Run]) -> tuple[list[Table], list[str]]:
    """Place runs in tables.

    Runs are averaged over seeds only if all their other options, data and backbone weights are the
    same. In a cell with several configurations the usual one (docs/report.md) has the column of the
    model; each other one has a column of its own.

    Returns:
        The tables, and a line for each run that is left out or has another column or table than its
        model's others.
    """
    by_conditions: dict[Conditions, list[Run]] = {}
    for run in runs:
        by_conditions.setdefault(Conditions.of(run), []).append(run)
    kinds = list(KINDS)

    def order(conditions: Conditions) -> tuple:
        published = conditions.protocol != "sound"
        count = len(by_conditions[conditions])
        return kinds.index(conditions.kind), -conditions.percent, published, -count, str(conditions)

    tables, notes = [], stray_tables(by_conditions)
    for conditions in sorted(by_conditions, key=order):
        methods, stray = name_methods(by_conditions[conditions], notes)
        table = Table(conditions, stray)
        for run in sorted(by_conditions[conditions], key=_finished):
            cell = table.runs.setdefault((Row(run.dataset, run.horizon), methods[run]), {})
            if run.seed in cell:
                notes.append(
                    f"{cell[run.seed].folder}: left out, because {run.folder} has the same options "
                    "and seed and is newer"
                )
            cell[run.seed] = run
        tables.append(table)
    return tables, notes


def _finished(run: Run) -> tuple[str, str]:
    return str(run.record.get("finished", "")), str(run.folder)


def stray_tables(by_conditions: dict[Conditions, list[Run]]) -> list[str]:
    """Name the runs whose look-back, protocol or the like few others on their data set have."""
    scopes: dict[tuple, dict[Conditions, list[Run]]] = {}
    for conditions, runs in by_conditions.items():
        for run in runs:
            scope = scopes.setdefault((conditions.kind, conditions.percent, run.dataset), {})
            scope.setdefault(conditions, []).append(run)
    lines = []
    for (_, _, dataset), groups in scopes.items():
        main = max(groups, key=lambda c: (len(groups[c]), c.protocol == "sound", str(c)))
        for conditions in groups.keys() - {main}:
            other = [part for part in conditions.differing() if part not in main.differing()]
            usual = [part for part in main.differing() if part not in conditions.differing()]
            lines += [
                f"{run.folder}: {', '.join(other) or 'features M, standardised'}, where most runs "
                f"on {dataset} have {', '.join(usual) or 'not'}: in a table {OF_ITS_OWN}"
                for run in groups[conditions]
            ]
    return sorted(lines)
