"""Runs of a model with other options than its usual ones, beside those with the usual ones."""

from utils.reporting import grids
from utils.reporting.claims import is_plain, plain
from utils.reporting.grids import Cell, Grid, number
from utils.reporting.tables import Table


def split(table: Table) -> tuple[Table, Table]:
    """Split a table into models in their usual options, and variants beside their own model in its
    usual options, on the rows that have a variant; without variants the second has no runs."""
    models = table.models
    variants = {m for m in models if plain(table, models[m]) and not is_plain(m, models[m])}
    varied = {models[method] for method in variants}
    rows = [row for row in table.rows if any((row, method) in table.runs for method in variants)]
    return (
        table.only(models.keys() - variants, table.rows),
        table.only([method for method, model in models.items() if model in varied], rows),
    )


def variants_grid(table: Table) -> Grid:
    """One row a variant: its scores, and their differences from those of the usual options.

    Args:
        table: the second part of `split`.
    """
    metrics = table.kind.metrics
    labels = [*grids.label_columns(table), ("", "model"), ("", "n")]
    grid = Grid(
        f"{table.conditions.slug}_variants",
        grids.title_of(table),
        ["", "Mean ± standard deviation over n seeds. Difference: a variant minus the model in its "
         "usual options, in the same row of the tables."],
        labels + [(grids.metric_name(m), c) for m in metrics for c in ("score", "difference")],
        [],
        labels=len(labels),
        part="Variants",
    )  # fmt: skip
    for row in grids.ordered_rows(table):
        for method, model in table.models.items():
            usual = plain(table, model)
            found = [table.summary(row, method, metric) for metric in metrics]
            if not found[0]:
                continue
            cells = [*grids.row_labels(table, row), Cell(method), number(found[0].n, 0)]
            for metric, score in zip(metrics, found, strict=True):
                base = table.summary(row, usual, metric) if method != usual else None
                difference = score.mean - base.mean if score and base else None
                cells += [grids.score_cell(score, "", found[0].n), number(difference, sign=True)]
            grid.rows.append(cells)
    return grid
