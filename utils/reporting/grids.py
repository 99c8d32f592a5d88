"""What the report shows as tables, ready for every format."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from utils.reporting.methods import LOSS_WEIGHTS
from utils.reporting.published import Published
from utils.reporting.runs import KINDS, Run
from utils.reporting.tables import AVERAGE, Row, Summary, Table

UPPER = {"mse": "MSE", "mae": "MAE", "smape": "sMAPE", "mase": "MASE", "owa": "OWA", "f1": "F1"}
ABSENT = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the number to sort by, `best`, `second` or nothing, and a link or none."""

    text: str
    value: float | None = None
    mark: str = ""
    link: str = ""


@dataclass
class Grid:
    """A table in any format.

    Attributes:
        slug: name for files. table: title of the table of scores that it belongs to.
        notes: lines above it.
        columns: (group, name) of each column; neighbours of the same group share a heading.
        labels: number of columns, from the left, that say what a row is.
        records: the same in long form, for CSV.
        part: what it shows of that table, if it is not the scores.
    """

    slug: str
    table: str
    notes: list[str]
    columns: list[tuple[str, str]]
    rows: list[list[Cell]]
    labels: int = 2
    records: list[dict] = field(default_factory=list)
    part: str = ""

    @property
    def title(self) -> str:
        """The heading where it stands alone."""
        return f"{self.part}. {self.table}" if self.part else self.table


def metric_name(metric: str) -> str:
    """Spell a metric as the field does."""
    return UPPER.get(metric, metric)


def number(value: float | None, digits: int = 3, sign: bool = False, mark: str = "") -> Cell:
    """A cell with a number, or a dash for None."""
    if value is None:
        return Cell(ABSENT)
    return Cell(f"{value:{'+' if sign else ''}.{digits}f}", value, mark)


def score_cell(summary: Summary | None, mark: str, most: int) -> Cell:
    """A cell with mean and deviation, and the number of seeds where it is not `most`."""
    if summary is None:
        return Cell(ABSENT)
    text = f"{summary.mean:.3f}"
    if summary.deviation is not None:
        text += f" ± {summary.deviation:.3f}"
    if summary.n != most:
        text += f" (n={summary.n})"
    return Cell(text, summary.mean, mark)


def title_of(table: Table) -> str:
    """The heading of a table."""
    return f"{table.kind.title}: {', '.join(table.conditions.differing())}"


def row_labels(table: Table, row: Row) -> list[Cell]:
    """The cells that say what a row is."""
    cells = [Cell(row.dataset)]
    if table.kind.column:
        is_number = row.horizon.replace(".", "", 1).isdigit()
        cells.append(Cell(row.horizon, float(row.horizon) if is_number else None))
    return cells


def label_columns(table: Table) -> list[tuple[str, str]]:
    """The headings of `row_labels`."""
    return [("", "data set"), *([("", table.kind.column)] if table.kind.column else [])]


def scores_grid(table: Table) -> Grid:
    """The table in the paper's layout: data sets and horizons down, models across."""
    methods, metrics = table.methods, table.kind.metrics
    rows = ordered_rows(table)
    most = {
        m: max(s.n for row in rows if (s := table.summary(row, m, metrics[0]))) for m in methods
    }
    grid = Grid(
        table.conditions.slug,
        title_of(table),
        table_notes(table),
        label_columns(table)
        + [(f"{m}, n={most[m]}", metric_name(metric)) for m in methods for metric in metrics],
        [],
        labels=len(label_columns(table)),
    )
    for row in rows:
        cells = row_labels(table, row)
        marks = {metric: table.marks(row, metric) for metric in metrics}
        for method in methods:
            for metric in metrics:
                summary, mark = table.summary(row, method, metric), marks[metric].get(method, "")
                cells.append(score_cell(summary, mark, most[method]))
                if summary is not None:
                    grid.records.append(
                        {
                            "dataset": row.dataset,
                            "horizon": row.horizon,
                            "method": method,
                            "metric": metric,
                            "mean": summary.mean,
                            "std": summary.deviation,
                            "n": summary.n,
                            "mark": mark,
                        }
                    )
        grid.rows.append(cells)
    return grid


def ordered_rows(table: Table) -> list[Row]:
    """All rows, each average behind its parts."""
    averages = table.averages()
    rows = []
    for dataset in table.datasets:
        rows += [row for row in table.rows if row.dataset == dataset]
        rows += [row for row in averages if row.dataset == dataset]
    return rows + [row for row in averages if row.dataset not in table.datasets]


def table_notes(table: Table) -> list[str]:
    """The lines above a table: backbone weights, protocol, and what marks mean."""
    weights = {m: sorted({r.backbone for r in table.of(m)} - {""}) for m in table.methods}
    built = [f"{method} {backbone_text(which)}" for method, which in weights.items() if which]
    first = f"Backbone weights: {'; '.join(built)}." if built else "No model here has a backbone."
    notes = [
        f"{first} {', '.join(table.conditions.differing()).capitalize()}.",
        "Mean ± standard deviation over n seeds; best in bold, second best underlined.",
    ]
    for method in table.methods:
        by_weights = loss_weights(table, method)
        if len(by_weights) > 1:
            settings = "; ".join(f"{', '.join(d)}: {w}" for w, d in sorted(by_weights.items()))
            notes.append(f"Loss weights of {method} differ by data set. {settings}.")
    return notes


def loss_weights(table: Table, method: str) -> dict[str, list[str]]:
    """The loss weights of a method, empty without any, each with the data sets that have them."""
    found: dict[str, list[str]] = {}
    for run in table.of(method):
        used = [f"{w} {run.configuration[w]}" for w in LOSS_WEIGHTS if w in run.configuration]
        names = found.setdefault(", ".join(used), [])
        if run.dataset not in names:
            names.append(run.dataset)
    return found


def backbone_text(which: Sequence[str]) -> str:
    """Describe the weights of a backbone in words."""
    names = []
    for name in which:
        kind, _, fingerprint = name.partition(" ")
        names.append(f"{kind} (fingerprint {fingerprint})" if fingerprint else kind)
    return " and ".join(names)


def published_grid(table: Table, published: Published) -> Grid | None:
    """What was published beside our numbers; None if nothing was on these rows."""
    metrics = table.kind.metrics
    columns = [*label_columns(table), ("", "model"), ("", "n")]
    for metric in metrics:
        columns += [(metric_name(metric), c) for c in ("ours", "published", "difference")]
    grid = Grid(
        f"{table.conditions.slug}_published",
        title_of(table),
        [
            table_notes(table)[0],
            f"Published numbers: {published.source(table)}. Checked: whether the transcription was "
            "checked a second time. Difference: ours, the mean of n seeds, minus published.",
        ],
        [*columns, ("", "checked")],
        [],
        labels=len(columns) - 3 * len(metrics),
        part="Published beside ours",
    )
    models = table.models
    for row in ordered_rows(table):
        if row.horizon == AVERAGE and not published.averages_match(table, row):
            continue
        theirs = published.models(table, row)
        pairs = [
            (m, model)
            for m, model in models.items()
            if model in theirs and table.summary(row, m, metrics[0])
        ]
        pairs += [(model, model) for model in theirs if model not in [ours for _, ours in pairs]]
        for method, model in pairs:
            found = {m: table.summary(row, method, m) for m in metrics if method in models}
            seeds = found[metrics[0]].n if found and found[metrics[0]] else None
            cells = [*row_labels(table, row), Cell(method), number(seeds, 0)]
            checked = set()
            for metric in metrics:
                value, ours = theirs[model].get(metric), found.get(metric)
                mean = ours.mean if ours else None
                difference = None if value is None or mean is None else mean - value.value
                cells += [
                    score_cell(ours, "", ours.n if ours else 0),
                    number(value.value if value else None),
                    number(difference, sign=True),
                ]
                if value is not None:
                    checked.add(value.checked_twice)
                    grid.records.append(
                        {
                            "dataset": row.dataset,
                            "horizon": row.horizon,
                            "method": method,
                            "metric": metric,
                            "ours": mean,
                            "n": ours.n if ours else None,
                            "published": value.value,
                            "difference": difference,
                            "checked_twice": value.checked_twice,
                            "source": value.source,
                        }
                    )
            grid.rows.append([*cells, Cell("yes" if checked == {"yes"} else "no")])
    return grid if grid.rows else None


def runs_grid(runs: Sequence[Run]) -> Grid:
    """One row a run: seconds, parameters and memory."""
    columns = "data set|horizon|model|seed|test error|parameters|training s|test s|memory MB|device"
    grid = Grid("run_costs", "Runs", ["One row a run; memory is the peak of the process."],
                [("", name) for name in columns.split("|")], [], labels=4)  # fmt: skip
    for run in runs:
        memory = (run.record.get("peak_memory_mb") or {}).get("host")
        metric, error = test_error(run)
        grid.rows.append(
            [
                Cell(run.dataset),
                Cell(run.horizon),
                Cell(run.model),
                Cell(str(run.seed), run.seed),
                Cell(f"{error:.3f} {metric}", error),
                Cell(
                    f"{run.record['parameters']['trained']:,}", run.record["parameters"]["trained"]
                ),
                number(run.record["training_seconds"], 1),
                number(run.record["test"]["seconds"], 2),
                number(memory, 0),
                Cell(str(run.record.get("device", ABSENT))),
            ]
        )
    return grid


def test_error(run: Run) -> tuple[str, float]:
    """The main metric of a run as an error: its name, and a value that is better if smaller."""
    kind = KINDS[run.kind]
    metric = kind.metrics[0]
    score = run.scores[metric]
    if kind.higher_is_better:
        return f"1-{metric_name(metric)}", 1 - score
    return metric_name(metric).upper(), score
