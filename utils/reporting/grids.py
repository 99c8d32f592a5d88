"""The tables of the report as text, before they are formatted."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from utils.reporting.tables import (
    AVERAGE,
    HIGHER,
    LOSS_WEIGHTS,
    M4_ORDER,
    Row,
    Summary,
    Table,
    settings,
)
from utils.runs import DEFAULTS

NAMES = {"mse": "MSE", "mae": "MAE", "smape": "sMAPE", "mase": "MASE", "owa": "OWA", "f1": "F1"}
ABSENT = "\N{EN DASH}"
ENOUGH = 5  # data sets for a rank test
SEEDS = "Mean ± standard deviation over n seeds"
# texts by heading, of the rows by their labels
Lines = Mapping[tuple[str, ...], Mapping[tuple[str, str], str]]


class Grid:
    """A table of texts.

    Args:
        slug: name for files. notes: lines above the table; empty ones are left out.
        labels: headings of the rows' labels. lines: texts. marks: `best`, `second` or empty.
        records: the numbers in full precision, for CSV.
    """

    def __init__(
        self,
        title: str,
        slug: str,
        notes: Iterable[str],
        labels: Sequence[str],
        lines: Lines,
        marks: Lines | None = None,
        records: list[dict] | None = None,
    ):
        self.title, self.slug, self.records = title, slug, records
        self.notes = [note for note in notes if note]
        rows = pd.MultiIndex.from_tuples(lines, names=labels)
        columns = pd.MultiIndex.from_tuples(next(iter(lines.values())))
        self.cells, self.marks = (
            pd.DataFrame([list(line.values()) for line in found.values()] or "", rows, columns)
            for found in (lines, marks or {})
        )


def score(summary: Summary | None, most: int | None = None) -> str:
    """Write mean and deviation, and the number of seeds if it is not `most`."""
    if summary is None:
        return ABSENT
    text = f"{summary.mean:.3f}"
    text += "" if summary.deviation is None else f" ± {summary.deviation:.3f}"
    return text if most in (None, summary.n) else f"{text} (n={summary.n})"


def scores_grid(table: Table, title: str = "", brackets: bool = False) -> Grid:
    """The table in the paper's layout: data sets and horizons down, models across; published scores
    stand in brackets if `brackets`."""
    seeds = {method: table.seeds(method) for method in table.methods}
    is_trained = {method: (table.of(method)["parameters"] > 0).any() for method in seeds}
    heads = {m: f"{m}, n={n}" if is_trained[m] else m for m, n in seeds.items()}
    lines, marks, records, theirs = {}, {}, [], []
    for row in table.parts:
        of_row = {metric: table.marks(row, metric) for metric in table.metrics}
        texts = lines[row[: len(table.labels)]] = {}
        signs = marks[row[: len(table.labels)]] = {}
        for method, metric in product(table.methods, table.metrics):
            column = heads[method], NAMES.get(metric, metric)
            found, mark = table.summary(row, method, metric), of_row[metric].get(method, "")
            texts[column], signs[column] = score(found, seeds[method]), mark
            paper = table.published(row, method) if brackets and found else pd.DataFrame()
            if metric in paper.index:
                texts[column] += f" ({paper.loc[metric, 'value']:.3f})"
                theirs.append(paper.loc[metric])
            if found:
                where = row._asdict() | {"method": method, "metric": metric}
                records.append(where | found._asdict() | {"mark": mark})
    notes = [
        f"{SEEDS}; best in bold, second best underlined.",
        f"In brackets: {sources(pd.DataFrame(theirs))}" if theirs else "",
        *loss_weights(table),
        better_in(table),
        missing_rows(table),
        mean_ranks(table),
    ]
    title = title or table.heading
    return Grid(title, table.slug, notes, table.labels, lines, marks, records)


def sources(found: pd.DataFrame) -> str:
    """Name the sources of published results, and how many of them were read twice."""
    checked = f"{(found['checked_twice'] == 'yes').sum()} of {len(found)} numbers"
    return f"{'; '.join(sorted(set(found['source'])))}; {checked} read twice."


def intervals_grid(table: Table) -> Grid | None:
    """Coverage, width and pinball loss of prediction intervals by level; None without any."""
    metrics = [name for name in table.runs if "%" in name and table.runs[name].notna().any()]
    if not metrics:
        return None
    part = Table(table.runs[table.runs[metrics].notna().any(axis=1)], metrics)
    grid = scores_grid(part, f"Prediction intervals. {table.heading}")
    grid.slug += "_intervals"
    grid.notes = [f"{SEEDS}. Read coverage first, beside the nominal level: intervals that are too "
                  "narrow are no merit."]  # fmt: skip
    return grid


def loss_weights(table: Table) -> list[str]:
    """Write the loss weights of the CALFs, by data set where they differ."""
    alike: dict[str, list[str]] = {}
    for method in table.methods:
        found: dict[str, set[str]] = {}
        for _, run in table.of(method).iterrows():
            used = DEFAULTS | settings(run)
            given = ", ".join(f"{name} {used[name]}" for name in LOSS_WEIGHTS)
            found.setdefault(given, set()).add(run["dataset"])
        parts = [f"{', '.join(sorted(names))}: {given}" for given, names in sorted(found.items())]
        if run["model"] == "CALF":
            alike.setdefault("; ".join(parts if len(parts) > 1 else found), []).append(method)
    return [f"Loss weights of {', '.join(names)}: {text}." for text, names in alike.items()]


def better_in(table: Table) -> str:
    """Count the rows in which the first model is better than each other one."""
    metric, (first, *others) = table.metrics[0], table.methods
    parts = []
    for other in others:
        both = [[table.summary(row, m, metric) for m in (first, other)] for row in table.rows]
        gaps = [one.mean - two.mean for one, two in both if one and two]
        better = sum(gap > 0 if metric in HIGHER else gap < 0 for gap in gaps)
        parts += [f"{other} in {better} of {len(gaps)} rows"] if gaps else []
    name = NAMES.get(metric, metric)
    return f"By mean {name}, {first} is better than {', '.join(parts)}." if parts else ""


def missing_rows(table: Table) -> str:
    """Name the rows that a model lacks, among those of other models or M4's six frequencies."""
    rows = [Row("m4", name) for name in M4_ORDER] if table.kind == "short_term" else table.rows
    lack_same: dict[str, list[str]] = {}
    for method in table.methods:
        lacking: dict[str, list[str]] = {}
        for row in rows:
            if (row, method) not in table.cells:
                lacking.setdefault(row.dataset, []).append(row.horizon)
        where = "; ".join(f"{name} {', '.join(found)}".strip() for name, found in lacking.items())
        lack_same.setdefault(where, []).append(method)
    parts = [f"{', '.join(names)}: {where}" for where, names in lack_same.items() if where]
    return f"Missing: {'. '.join(parts)}." if parts else ""


def mean_ranks(table: Table) -> str:
    """Compute mean ranks over data sets, Friedman's test and Nemenyi's critical difference (Demšar,
    JMLR 7, 2006) of the models that have every data set; empty below five data sets."""
    from scipy import stats  # slow to import

    metric = table.metrics[0]
    last = {row.dataset: row for row in table.parts if row.dataset != AVERAGE}  # of the data set
    found = {m: [table.summary(row, m, metric) for row in last.values()] for m in table.methods}
    complete = [method for method, of_rows in found.items() if all(of_rows)]
    models, count = len(complete), len(last)
    if count < ENOUGH or models < 3:
        return ""
    errors = np.array([[summary.mean for summary in found[m]] for m in complete]).T
    ranks = stats.rankdata(-errors if metric in HIGHER else errors, axis=1).mean(axis=0)
    quantile = stats.studentized_range.ppf(0.95, models, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(models * (models + 1) / (6 * count))
    test = stats.friedmanchisquare(*errors.T)
    named = ", ".join(f"{m} {rank:.2f}" for rank, m in sorted(zip(ranks, complete, strict=True)))
    return (
        f"Mean ranks by {NAMES.get(metric, metric)} over {count} data sets: {named}. Friedman's "
        f"test: p = {test.pvalue:.2g}; Nemenyi's critical difference at 5 %: {critical:.2f}."
    )


def paired_grid(table: Table, method: str, others: Iterable[str]) -> Grid | None:
    """Compare a method with others by the seeds that both have: means, the mean difference with its
    95 % interval by Student's t over the seeds, and the standard deviation of the other's seeds;
    None without such runs."""
    from scipy import stats  # slow to import

    metric, lines, stem = table.metrics[0], {}, method.removesuffix(")")
    backbone = f"{stem.partition(', ')[0]}, "  # which both share
    heads = ("its MSE", "the other's", "difference", "in %", "95 % interval", "deviation", "lower")
    for other, row in product(others, table.rows):
        if not {(row, method), (row, other)} <= table.cells.keys():
            continue
        name = other
        if other.startswith(stem):
            name = f"the same{other[len(stem) : -1]}"
        elif other.startswith(backbone):
            name = other[len(backbone) : -1]
        cells = [table.cells[row, m][metric] for m in (method, other)]
        both = pd.concat(cells, axis=1, join="inner").to_numpy()
        gaps, (own, others_mean), n = both[:, 0] - both[:, 1], both.mean(axis=0), len(both)
        gap, interval, deviation = gaps.mean(), ABSENT, ABSENT
        if n > 1:
            half = stats.t.ppf(0.975, n - 1) * stats.sem(gaps)
            interval = f"{gap - half:+.3f} to {gap + half:+.3f}"
            deviation = f"{both[:, 1].std(ddof=1):.3f}"
        texts = (
            f"{own:.3f}", f"{others_mean:.3f}", f"{gap:+.3f}", f"{100 * gap / others_mean:+.1f} %",
            interval, deviation, f"{(gaps < 0).sum()} of {n}",
        )  # fmt: skip
        lines[name, *row] = {("", head): text for head, text in zip(heads, texts, strict=True)}
    title = f"{table.title}: {method}, and others. {table.heading}"
    notes = ["Over the seeds that both have; deviation: of the other's."]
    labels = ["the other", "data set", "horizon"]
    return Grid(title, "paired", notes, labels, lines) if lines else None


def compared(
    title: str,
    slug: str,
    notes: Sequence[str],
    table: Table,
    names: tuple[str, str],
    found: Sequence[tuple[Row, str, Mapping[str, tuple[Summary | None, Summary | None]]]],
    models_alone: bool = False,
) -> Grid | None:
    """Make a grid of two scores and their difference, the first minus the second, by row and
    method; None without any.

    Args:
        names: of the two scores. found: row, method, and both scores by metric.
        models_alone: show of a method its model, as the title tells the rest.
    """
    lines, records = {}, []
    metrics = [m for m in table.metrics if any(m in pairs and pairs[m][1] for *_, pairs in found)]
    if not metrics:
        return None
    for row, method, pairs in found:
        n = next((f"{one.n}" for one, _ in pairs.values() if one), "")
        shown = method.partition(" (")[0] if models_alone else method
        texts = lines[*row[: len(table.labels)], shown, n] = {}
        for metric in metrics:
            one, two = pairs[metric]
            head, gap = NAMES.get(metric, metric), one.mean - two.mean if one and two else None
            texts |= {(head, names[0]): score(one), (head, names[1]): score(two)}
            texts[head, "difference"] = ABSENT if gap is None else f"{gap:+.3f}"
            if gap is not None:
                where = row._asdict() | {"method": method, "metric": metric}
                means = {names[0]: one.mean, names[1]: two.mean}
                records.append(where | means | {"difference": gap})
    labels = [*table.labels, "model", "n"]
    return Grid(title, slug, notes, labels, lines, records=records)


def published_grids(table: Table) -> list[Grid]:
    """Compare models in their usual settings with published numbers.

    Models on the published GPT-2, and those without a language model, are in one table. Each other
    backbone has a table of its own, whose title says that the published numbers are not on it.
    """
    groups: dict[str, list[str]] = {}
    for method in table.methods:
        run = table.of(method).iloc[0]
        is_ours = run["backbone"] and run["published_file"] != "yes"
        other = method.partition("(")[2].rstrip(")") if is_ours else ""
        groups.setdefault(other, []).append(method)
    grids = []
    for other, methods in groups.items():
        found, details = [], []
        for row, method in product(table.parts, methods):
            theirs = table.published(row, method)
            ours = {metric: table.summary(row, method, metric) for metric in table.metrics}
            ours = {m: one and one._replace(deviation=None) for m, one in ours.items()}
            if len(theirs) and any(ours.values()):
                values = {m: Summary(value, None, 1) for m, value in theirs["value"].items()}
                found.append((row, method, {m: (ours[m], values.get(m)) for m in ours}))
                details.append(theirs)
        if not found:
            continue
        notes = [f"Published: {sources(pd.concat(details))}"]
        title = f"Published beside ours. {table.heading}"
        if other:
            models = " and ".join(dict.fromkeys(m.partition(" (")[0] for m in methods))
            title = (f"{models} on {other} and, for orientation, the paper's numbers, which are on "
                     f"the published GPT-2. {table.heading}")  # fmt: skip
        slug = f"{table.slug}_published" + (f"_{len(grids)}" if other else "")
        names = ("ours", "published")
        grids.append(compared(title, slug, notes, table, names, found, models_alone=bool(other)))
    return [grid for grid in grids if grid]


def main_grid(table: Table) -> Grid:
    """The README's table: the main metric of trained models in their usual settings, with published
    scores in brackets, of those that have all horizons of a data set; on data sets of the first."""
    trained = table.runs[table.runs["parameters"] > 0]
    usual = Table(trained[trained["method"] == trained["usual"]], table.metrics[:1])
    averages = [row for row in usual.parts if row.horizon == AVERAGE]
    found = {m: [row.dataset for row in averages if usual.summary(row, m, *usual.metrics)]
             for m in usual.methods}  # fmt: skip
    methods = [method for method, names in found.items() if names]
    runs = usual.runs[usual.runs["method"].isin(methods)]
    runs = runs[runs["dataset"].isin(found[methods[0]])]
    grid = scores_grid(Table(runs, usual.metrics), brackets=True)
    grid.notes = [f"{SEEDS}, in brackets what the paper gives; its CALF is on GPT-2's weights."]
    return grid


def variants_grid(table: Table) -> Grid | None:
    """Compare models in other settings with their usual ones by the main metric; None without
    variants."""
    found, metric = [], table.metrics[0]
    for row, method in product(table.parts, table.methods):
        usual = table.of(method)["usual"].iloc[0]
        pair = table.summary(row, method, metric), table.summary(row, usual, metric)
        if method != usual and pair[0]:
            found.append((row, method, {metric: pair}))
    title = f"Variants. {table.heading}"
    notes = [f"{SEEDS}. Difference: the variant minus the model in its usual settings."]
    names = ("variant", "usual")
    return compared(title, f"{table.slug}_variants", notes, table, names, found)
