"""The same runs under both protocols and at several look-backs, side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from utils.reporting import grids
from utils.reporting.backbone import backbone_line
from utils.reporting.grids import Cell, Grid, number
from utils.reporting.runs import Run
from utils.reporting.statistics import mean_and_deviation
from utils.reporting.tables import Row, Summary, Table

CHOSEN_BY_TEST = ("short_term", "classification")  # kinds, under the published protocol
MEANS = "Mean ± standard deviation over n seeds; in brackets where a score is of another number."


def protocols_grid(tables: Sequence[Table]) -> Grid | None:
    """What the published protocol gains: the same runs under both; None if there are none."""
    columns = "data set|row|model|metric|n|sound|published|published minus sound"
    grid = Grid(
        "protocols",
        "The published protocol beside the sound one",
        [
            "",
            "Under the published protocol M4 and classification choose the epoch by the test data, "
            "and train on what the sound one holds out; forecasting and imputation validate with "
            "some dropouts on (docs/protocols.md). " + MEANS,
        ],
        [("", name) for name in columns.split("|")],
        [],
        labels=4,
    )
    by_conditions = {table.conditions: table for table in tables}
    shown = []
    for conditions, sound in by_conditions.items():
        published = by_conditions.get(replace(conditions, protocol="published"))
        if conditions.protocol == "published" or published is None:
            continue
        for row, method, metric, ours, theirs in _of_both(sound, published):
            shown += sound.of(method)
            where = Row(
                ", ".join([row.dataset, *conditions.differing(protocol=False)]), row.horizon
            )
            cells = _first_cells(where, method, metric, ours.n)
            cells += [grids.score_cell(s, "", ours.n) for s in (ours, theirs)]
            grid.rows.append([*cells, number(theirs.mean - ours.mean, sign=True)])
    grid.notes[0] = backbone_line(shown)
    return grid if grid.rows else None


def look_backs_grid(tables: Sequence[Table]) -> Grid | None:
    """What a longer look-back gains: the same runs at two; None if there are none."""
    columns = "data set|row|model|metric|n|look-back|score|longer look-back|score|difference"
    grid = Grid(
        "look_backs",
        "Look-backs side by side",
        ["", f"{MEANS} Difference: score of the longer look-back minus that of the shorter one."],
        [("", name) for name in columns.split("|")],
        [],
        labels=4,
    )
    shown = []
    for short, long in product(tables, tables):
        lengths = short.conditions.look_back, long.conditions.look_back
        if None in lengths or lengths[0] >= lengths[1]:
            continue
        if replace(short.conditions, look_back=lengths[1]) != long.conditions:
            continue
        for row, method, metric, less, more in _of_both(short, long):
            shown += short.of(method)
            cells = _first_cells(row, method, metric, less.n)
            for length, summary in zip(lengths, (less, more), strict=True):
                cells += [number(length, 0), grids.score_cell(summary, "", less.n)]
            grid.rows.append([*cells, number(more.mean - less.mean, sign=True)])
    grid.notes[0] = backbone_line(shown)
    return grid if grid.rows else None


def _of_both(one: Table, other: Table) -> Iterator[tuple[Row, str, str, Summary, Summary]]:
    """Rows, methods and metrics of which both tables have runs, and their summaries."""
    for row, method, metric in product(one.rows, one.methods, one.kind.metrics):
        found = [table.summary(row, method, metric) for table in (one, other)]
        if all(found):
            yield row, method, metric, *found


def choice_grid(tables: Sequence[Table]) -> Grid | None:
    """What choosing the epoch by the test data would gain in trainings that did not; None if there
    are none."""
    columns = "data set|row|model|metric|n|chosen by validation|best on the test data|gain"
    grid = Grid(
        "choice",
        "What choosing the epoch by the test data gains",
        [
            "",
            "The same trainings, under the sound protocol: the test score after the epoch that "
            "validation chose, and after the one that is best on the test data. Without trainings "
            f"whose test data were not scored after each epoch. {MEANS}",
        ],
        [("", name) for name in columns.split("|")],
        [],
        labels=4,
    )
    shown = []
    for table in tables:
        conditions, kind = table.conditions, table.kind
        if conditions.protocol != "sound" or conditions.kind not in CHOSEN_BY_TEST:
            continue
        for row, method in product(table.rows, table.methods):
            runs = [run for run in table.runs.get((row, method), {}).values() if _tested(run)]
            if not runs:
                continue
            shown += runs
            best = max if kind.higher_is_better else min
            chosen = [run.record["best_epoch"]["test"] for run in runs]
            most = [best(epoch["test"] for epoch in run.record["epochs"]) for run in runs]
            summaries = [Summary(*mean_and_deviation(v), len(runs)) for v in (chosen, most)]
            cells = _first_cells(row, method, kind.metrics[0], len(runs))
            cells += [grids.score_cell(summary, "", len(runs)) for summary in summaries]
            gain = abs(summaries[0].mean - summaries[1].mean)
            grid.rows.append([*cells, number(gain)])
    grid.notes[0] = backbone_line(shown)
    return grid if grid.rows else None


def _first_cells(row: Row, method: str, metric: str, n: int) -> list[Cell]:
    """Labels, and the number of seeds."""
    texts = (row.dataset, row.horizon, method, grids.metric_name(metric))
    return [*(Cell(text) for text in texts), number(n, 0)]


def _tested(run: Run) -> bool:
    """Whether the test data were scored after each epoch."""
    return all(epoch.get("test") is not None for epoch in run.record.get("epochs") or [{}])
