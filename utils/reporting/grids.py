"""The tables of the report as text, before they are formatted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pandas as pd

from utils.reporting.published import published_of
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

UPPER = {"mse": "MSE", "mae": "MAE", "smape": "sMAPE", "mase": "MASE", "owa": "OWA", "f1": "F1"}
ABSENT = "\N{EN DASH}"
ENOUGH = 5  # data sets for a rank test
SEEDS = "Mean ± standard deviation over n seeds"


@dataclass
class Grid:
    """A table of texts.

    Attributes:
        slug: name for files. notes: lines above the table.
        cells: texts. marks: `best`, `second` or empty, of the same shape.
        records: the numbers in full precision, for CSV.
    """

    title: str
    slug: str
    notes: list[str]
    cells: pd.DataFrame
    marks: pd.DataFrame
    records: list[dict] = field(default_factory=list)

    def csv(self) -> str:
        """The numbers as CSV."""
        return pd.DataFrame(self.records).to_csv(index=False)

    def transposed(self) -> "Grid":
        """The same with models down and data sets across."""
        return replace(self, cells=self.cells.T, marks=self.marks.T)


def make_grid(
    title: str,
    slug: str,
    notes: Iterable[str],
    labels: Sequence[str],
    columns: Sequence[tuple[str, str]],
    lines: Iterable[tuple[Sequence[str], Sequence[tuple[str, str]]]],
    records: list[dict],
) -> Grid:
    """Make a grid of lines: labels, and cells with their marks."""
    found = list(lines)
    index = pd.MultiIndex.from_tuples([tuple(where) for where, _ in found], names=labels)
    head = pd.MultiIndex.from_tuples(columns)
    texts, marks = ([[cell[i] for cell in cells] for _, cells in found] for i in (0, 1))
    shown = [note for note in notes if note]
    cells, marks = (pd.DataFrame(values, index, head) for values in (texts, marks))
    return Grid(title, slug, shown, cells, marks, records)


def heading(table: Table) -> str:
    """The conditions of a table."""
    words = ", ".join(table.conditions)
    return f"{words[:1].upper()}{words[1:]}"


def metric_name(metric: str) -> str:
    """Spell the name of a metric for readers."""
    return UPPER.get(metric, metric)


def score(summary: Summary | None, most: int = 1) -> str:
    """Write mean and deviation, and the number of seeds if it is not `most`."""
    if summary is None:
        return ABSENT
    text = f"{summary.mean:.3f}"
    text += "" if summary.deviation is None else f" ± {summary.deviation:.3f}"
    return text if summary.n == most else f"{text} (n={summary.n})"


def labels_of(table: Table, row: Row) -> list[str]:
    """The label cells of a row."""
    return [row.dataset, row.horizon] if table.column else [row.dataset]


def label_names(table: Table) -> list[str]:
    """The headings of `labels_of`."""
    return ["data set", table.column] if table.column else ["data set"]


def scores_grid(table: Table, title: str = "") -> Grid:
    """The table in the paper's layout: data sets and horizons down, models across."""
    seeds = {method: table.seeds(method) for method in table.methods}
    heads = {m: f"{m}, n={n}" if table.has_seeds(m) else m for m, n in seeds.items()}
    columns = [(heads[m], metric_name(metric)) for m in table.methods for metric in table.metrics]
    lines, records = [], []
    for row in table.all_rows:
        marks = {metric: table.marks(row, metric) for metric in table.metrics}
        cells = []
        for method, metric in product(table.methods, table.metrics):
            found, mark = table.summary(row, method, metric), marks[metric].get(method, "")
            cells.append((score(found, seeds[method]), mark))
            if found:
                where = {"dataset": row.dataset, "horizon": row.horizon, "method": method}
                records.append(where | {"metric": metric} | vars(found) | {"mark": mark})
        lines.append((labels_of(table, row), cells))
    notes = [
        f"{SEEDS}; best in bold, second best underlined.",
        *loss_weights(table),
        better_in(table),
        missing_rows(table),
        mean_ranks(table),
    ]
    title = title or heading(table)
    return make_grid(title, table.slug, notes, label_names(table), columns, lines, records)


def intervals_grid(table: Table) -> Grid | None:
    """Coverage, width and pinball loss of prediction intervals by level; None without any."""
    metrics = [name for name in table.runs if "%" in name and table.runs[name].notna().any()]
    if not metrics:
        return None
    part = Table(table.runs[table.runs[metrics].notna().any(axis=1)], metrics)
    grid = scores_grid(part, f"Prediction intervals. {heading(table)}")
    grid.slug += "_intervals"
    grid.notes = [f"{SEEDS}. Read coverage first, beside the nominal level: intervals that are too "
                  "narrow are no merit."]  # fmt: skip
    return grid


def loss_weights(table: Table) -> list[str]:
    """Write the loss weights of each CALF, by data set where they differ."""
    lines = []
    for method in table.methods:
        found: dict[str, set[str]] = {}
        for _, run in table.of(method).iterrows():
            used = DEFAULTS | settings(run)
            given = ", ".join(f"{name} {used[name]}" for name in LOSS_WEIGHTS)
            found.setdefault(given, set()).add(run["dataset"])
        parts = [f"{', '.join(sorted(names))}: {given}" for given, names in sorted(found.items())]
        text = "; ".join(parts if len(parts) > 1 else found)
        lines += [f"Loss weights of {method}: {text}."] * (run["model"] == "CALF")
    return lines


def better_in(table: Table) -> str:
    """Count the rows in which the first model is better than each other one."""
    metric, (first, *others) = table.metrics[0], table.methods
    parts = []
    for other in others:
        both = [[table.summary(row, m, metric) for m in (first, other)] for row in table.rows]
        pairs = [(one.mean, two.mean) for one, two in both if one and two]
        sign = -1 if metric in HIGHER else 1
        better = sum(sign * (one - two) < 0 for one, two in pairs)
        parts += [f"{other} in {better} of {len(pairs)} rows"] if pairs else []
    if not parts:
        return ""
    return f"By mean {metric_name(metric)}, {first} is better than {', '.join(parts)}."


def missing_rows(table: Table) -> str:
    """Name the rows that a model lacks, among those of other models or M4's six frequencies."""
    rows = [Row("m4", name) for name in M4_ORDER] if table.kind == "short_term" else table.rows
    parts = []
    for method in table.methods:
        lacking: dict[str, list[str]] = {}
        for row in rows:
            if (row, method) not in table.cells:
                lacking.setdefault(row.dataset, []).append(row.horizon)
        where = "; ".join(f"{name} {', '.join(found)}".strip() for name, found in lacking.items())
        parts += [f"{method}: {where}"] if where else []
    return f"Missing: {'. '.join(parts)}." if parts else ""


def mean_ranks(table: Table) -> str:
    """Compute mean ranks over data sets, Friedman's test and Nemenyi's critical difference (Demšar,
    JMLR 7, 2006) of the models that have every data set; empty below five data sets."""
    from scipy import stats  # slow to import

    metric, averages = table.metrics[0], {row.dataset: row for row in table.averages}
    rows = [averages.get(name) or Row(name, table.horizons(name)[0]) for name in table.datasets]
    found = {m: [table.summary(row, m, metric) for row in rows] for m in table.methods}
    complete = [method for method, of_rows in found.items() if all(of_rows)]
    if len(rows) < ENOUGH or len(complete) < 3:
        return ""
    errors = np.array([[summary.mean for summary in found[m]] for m in complete]).T
    ranks = stats.rankdata(-errors if metric in HIGHER else errors, axis=1).mean(axis=0)
    models, count = len(complete), len(rows)
    quantile = stats.studentized_range.ppf(0.95, models, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(models * (models + 1) / (6 * count))
    test = stats.friedmanchisquare(*errors.T)
    named = ", ".join(f"{m} {rank:.2f}" for rank, m in sorted(zip(ranks, complete, strict=True)))
    return (
        f"Mean ranks by {metric_name(metric)} over {count} data sets: {named}. Friedman's test: "
        f"p = {test.pvalue:.2g}; Nemenyi's critical difference at 5 %: {critical:.2f}."
    )


def paired_grid(table: Table, method: str, others: Iterable[str]) -> Grid:
    """Compare a method with others by the seeds that both have: means, the mean difference with its
    95 % interval by Student's t over the seeds, and the standard deviation of the other's seeds."""
    from scipy import stats  # slow to import

    metric, lines, stem = table.metrics[0], [], method.removesuffix(")")
    for other, row in product(others, table.rows):
        name = f"the same{other[len(stem) : -1]}" if other.startswith(stem) else other
        cells = [table.cells.get((row, m)) for m in (method, other)]
        if any(cell is None for cell in cells):
            continue
        both = pd.concat([cell[metric] for cell in cells], axis=1, join="inner").to_numpy()
        gaps, n = both[:, 0] - both[:, 1], len(both)
        texts = [f"{mean:.3f}" for mean in both.mean(axis=0)] + [f"{gaps.mean():+.3f}"]
        texts.append(f"{100 * gaps.mean() / both[:, 1].mean():+.1f} %")
        if n > 1:
            half = stats.t.ppf(0.975, n - 1) * stats.sem(gaps)
            texts.append(f"{gaps.mean() - half:+.3f} to {gaps.mean() + half:+.3f}")
            texts.append(f"{both[:, 1].std(ddof=1):.3f}")
        else:
            texts += [ABSENT, ABSENT]
        texts.append(f"{(gaps < 0).sum()} of {n}")
        lines.append(([name, *row], [(text, "") for text in texts]))
    heads = ("its MSE", "the other's", "difference", "in %", "95 % interval", "deviation", "lower")
    notes = [f"{heading(table)}; means over the seeds that both have; deviation: of the other's."]
    columns, labels = [("", name) for name in heads], ["the other", "data set", "horizon"]
    return make_grid(f"{method}, and others", "paired", notes, labels, columns, lines, [])


def compared(
    title: str,
    slug: str,
    notes: Sequence[str],
    table: Table,
    names: tuple[str, str],
    found: Iterable[tuple[Row, str, Mapping[str, tuple[Summary | None, Summary | None]]]],
) -> Grid | None:
    """Make a grid of two scores and their difference, the first minus the second, by row and
    method; None without any.

    Args:
        names: of the two scores. found: row, method, and both scores by metric.
    """
    lines, records = [], []
    found = list(found)
    metrics = [m for m in table.metrics if any(m in pairs and pairs[m][1] for *_, pairs in found)]
    for row, method, pairs in found:
        cells = []
        for metric in metrics:
            one, two = pairs[metric]
            gap = one.mean - two.mean if one and two else None
            cells += [(score(one, one.n if one else 1), ""), (score(two, two.n if two else 1), "")]
            cells.append((ABSENT if gap is None else f"{gap:+.3f}", ""))
            if gap is not None:
                where = {"dataset": row.dataset, "horizon": row.horizon, "method": method}
                both = {name: one.mean if name == names[0] else two.mean for name in names}
                records.append(where | {"metric": metric} | both | {"difference": gap})
        n = next((f"{one.n}" for one, _ in pairs.values() if one), "")
        lines.append(([*labels_of(table, row), method, n], cells))
    columns = [(metric_name(m), name) for m in metrics for name in (*names, "difference")]
    labels = [*label_names(table), "model", "n"]
    return make_grid(title, slug, notes, labels, columns, lines, records) if metrics else None


def published_grids(table: Table) -> list[Grid]:
    """Compare models in their usual settings with published numbers.

    Models on the published GPT-2, and those without a language model, are in one table. Each other
    backbone has a table of its own, whose title says that the published numbers are not on it.
    """
    groups: dict[str, list[str]] = {}
    for method in table.methods:
        run = table.of(method).iloc[0]
        is_ours = run["backbone"] and run["published_file"] != "yes"
        is_control = run["weights"] == "shuffled" or "llm_ablation" in run["settings"]
        is_control |= run["weights"] == "random" and run["backbone"] != "gpt2"
        if run["usual"] == method and not is_control:
            other = method.partition("(")[2].rstrip(")") if is_ours else ""
            groups.setdefault(other, []).append(method)
    grids = []
    for other, methods in groups.items():
        found, details = [], []
        for row, method in product(table.all_rows, methods):
            theirs = published_of(table, row, table.of(method)["model"].iloc[0])
            ours = {metric: table.summary(row, method, metric) for metric in table.metrics}
            if len(theirs) and any(ours.values()):
                values = {m: Summary(theirs["value"][m], None, 1) if m in theirs.index else None
                          for m in table.metrics}  # fmt: skip
                found.append((row, method, {m: (ours[m], values[m]) for m in table.metrics}))
                details.append(theirs)
        if not found:
            continue
        all_of = pd.concat(details)
        checked = f"{(all_of['checked_twice'] == 'yes').sum()} of {len(all_of)} numbers"
        sources = "; ".join(sorted(set(all_of["source"])))
        notes = [f"Published: {sources}; the transcription of {checked} was checked a second time."]
        title = f"Published beside ours. {heading(table)}"
        if other:
            models = " and ".join(dict.fromkeys(m.partition(" (")[0] for m in methods))
            title = (f"{models} on {other} and, for orientation, the paper's numbers, which are on "
                     f"the published GPT-2. {heading(table)}")  # fmt: skip
        slug = f"{table.slug}_published" + (f"_{len(grids)}" if other else "")
        grids.append(compared(title, slug, notes, table, ("ours", "published"), found))
    return [grid for grid in grids if grid]


def main_grid(table: Table) -> Grid:
    """The README's table: main metric of trained models in their usual settings, with the published
    score in brackets, on data sets with all horizons."""
    metric, runs = table.metrics[0], table.runs
    usual = Table(runs[(runs["method"] == runs["usual"]) & (runs["parameters"] > 0)], [metric])
    rows = [row for row in usual.all_rows if Row(row.dataset, AVERAGE) in usual.averages]
    methods = [m for m in usual.methods if any(usual.summary(r, m, metric) for r in usual.averages)]
    rows = [row for row in rows if all(usual.summary(row, m, metric) for m in methods[:1])]
    lines = []
    for row in rows:
        cells, marks = [], usual.marks(row, metric)
        for method in methods:
            theirs = published_of(usual, row, usual.of(method)["model"].iloc[0])
            found = usual.summary(row, method, metric)
            text = ABSENT if found is None else f"{found.mean:.3f}"
            text += f" ({theirs['value'][metric]:.3f})" if metric in theirs.index else ""
            cells.append((text, marks.get(method, "")))
        lines.append((labels_of(usual, row), cells))
    columns = [(f"{m}, n={usual.seeds(m)}", metric_name(metric)) for m in methods]
    notes = ["Mean over n seeds, in brackets what the paper gives; its CALF is on GPT-2's weights."]
    return make_grid("", "main", notes, label_names(usual), columns, lines, [])


def variants_grid(table: Table) -> Grid | None:
    """Compare models in other settings with their usual ones by the main metric; None without
    variants."""
    found, metric = [], table.metrics[0]
    for row, method in product(table.all_rows, table.methods):
        usual = table.of(method)["usual"].iloc[0]
        pair = table.summary(row, method, metric), table.summary(row, usual, metric)
        if method != usual and pair[0]:
            found.append((row, method, {metric: pair}))
    title = f"Variants. {heading(table)}"
    notes = [f"{SEEDS}. Difference: the variant minus the model in its usual settings."]
    names = ("variant", "usual")
    return compared(title, f"{table.slug}_variants", notes, table, names, found)
