"""What the report draws: loss curves, error by horizon step, and costs against error."""

from collections.abc import Mapping, Sequence

import numpy as np

from utils.reporting.charts import Line, chart
from utils.reporting.grids import metric_name
from utils.reporting.runs import Run
from utils.reporting.tables import Row, Table


def row_name(row: Row) -> str:
    """A row in words."""
    return " ".join(filter(None, row))


def colours(table: Table) -> dict[str, int]:
    """The colour of each method in all charts of a table."""
    return {method: number for number, method in enumerate(table.methods)}


def charts_of(table: Table) -> dict[str, list[str]]:
    """All charts of a table, by heading."""
    return {
        "Training: validation score solid, training loss dashed": loss_curves(table),
        "Error by step of the horizon": errors_by_step(table),
        "Costs against error": costs(table),
    }


def loss_curves(table: Table) -> list[str]:
    """Validation score (solid) and training loss (dashed) by epoch, of each model's first seed."""
    charts = []
    for row in table.rows:
        lines = []
        for method, colour in colours(table).items():
            runs = table.runs.get((row, method))
            if not runs:
                continue
            for name, dashed in (("train", True), ("validation", False)):
                points = epochs(runs[min(runs)], name)
                if points:
                    label = f"{method}, {name}"
                    lines.append(Line(label, *zip(*points, strict=True), colour, dashed))
        if lines:
            charts.append(chart(row_name(row), lines, "epoch", "loss"))
    return charts


def epochs(run: Run, name: str) -> list[tuple[float, float]]:
    """Epochs and their finite values of `train` or `validation`."""
    found = [(epoch.get("epoch"), epoch.get(name)) for epoch in run.record.get("epochs") or []]
    return [(x, y) for x, y in found if isinstance(y, int | float) and np.isfinite(y)]


def errors_by_step(table: Table) -> list[str]:
    """Error by step of the horizon, mean over seeds."""
    metric, charts = table.kind.metrics[0], []
    for row in table.rows:
        lines = []
        for method, colour in colours(table).items():
            runs = table.runs.get((row, method), {}).values()
            steps = [by_step(run, metric) for run in runs]
            if steps and all(len(s) == len(steps[0]) > 0 for s in steps):
                mean = np.mean(steps, axis=0).tolist()
                lines.append(Line(method, range(1, len(mean) + 1), mean, colour))
        if lines:
            charts.append(chart(row_name(row), lines, "step", metric_name(metric)))
    return charts


def by_step(run: Run, metric: str) -> Sequence[float]:
    """The errors of a run by step; empty if it has none."""
    errors: Mapping = run.record.get("errors") or {}
    values = (errors.get("by_step") or {}).get(metric) or []
    return values if np.isfinite(np.array(values, dtype=float)).all() else []


def costs(table: Table) -> list[str]:
    """Seconds of training, and trained parameters, against the mean error over the rows that all
    shown models have: as many models as share a row, and all rows that they share."""
    metric = table.kind.metrics[0]
    of_row = [{m for m in table.methods if (row, m) in table.runs} for row in table.rows]
    models = max(of_row, key=lambda found: (len(found), sum(found <= other for other in of_row)))
    shown = [method for method in table.methods if method in models]
    rows = [row for row, found in zip(table.rows, of_row, strict=True) if models <= found]
    if len(shown) < 2:
        return []
    numbers = {
        "seconds of training a run": lambda run: run.record["training_seconds"],
        "trained parameters": lambda run: run.record["parameters"]["trained"],
    }
    charts, title = [], f"Mean over {len(rows)} rows" if len(rows) > 1 else row_name(rows[0])
    for name, of in numbers.items():
        lines = []
        for method in shown:
            runs = [run for row in rows for run in table.runs[row, method].values()]
            error = float(np.mean([table.summary(row, method, metric).mean for row in rows]))
            cost = float(np.mean([of(run) for run in runs]))
            lines.append(Line(method, [cost], [error], colours(table)[method], points=True))
        charts.append(chart(title, lines, name, metric_name(metric), True))
    return charts


def pictures(table: Table, most: int = 2) -> list[tuple[str, bytes]]:
    """A few plots of each model: captions and PNG files, of its first rows and lowest seed."""
    found = []
    for method in table.methods:
        of_method = []
        for row in table.rows:
            runs = table.runs.get((row, method))
            plots = runs[min(runs)].pictures() if runs else []
            of_method += [(f"{method}, {row_name(row)}", path) for path in plots[:1]]
        found += of_method[:most]
    return [(caption, path.read_bytes()) for caption, path in found]
