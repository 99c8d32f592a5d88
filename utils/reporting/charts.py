"""The pictures of a report: training curves, and errors by step of the horizon."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from utils.plotting import style
from utils.reporting.tables import Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    *(style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE),
    *(style.PURPLE, style.SKY, style.BLACK, style.GREY),
)
MOST = len(COLOURS)  # methods in a picture
ACROSS = 3  # panels
DASHED = {"validation score": "-", "training loss": "--"}


def colours(table: Table) -> dict[str, str]:
    """The colour of each method that has one: the first eight."""
    return dict(zip(table.methods, COLOURS, strict=False))


def caption(text: str, table: Table) -> str:
    """Add to a caption how many methods are left out."""
    left = len(table.methods) - MOST
    return f"{text}; without {left} more models: --models chooses" if left > 0 else text


@style.styled
def training_curves(table: Table, epochs: pd.DataFrame) -> "Figure | None":
    """Draw validation score and training loss by epoch, of first seeds; None without epochs."""
    by_run = dict(list(epochs.groupby("run")))

    def draw(axes: "Axes", row: Row, method: str, colour: str) -> bool:
        of_run = by_run.get(table.cells[row, method].sort_index()["run"].iloc[0])
        if of_run is None or of_run["validation"].isna().all():
            return False
        for column, line in zip(("validation", "train"), DASHED.values(), strict=True):
            marker = "." if len(of_run) == 1 else ""
            axes.plot(of_run["epoch"], of_run[column], line, color=colour, lw=1.2, marker=marker)
        return True

    return panels(table, draw, "epoch", "score, loss", DASHED)


@style.styled
def errors_by_step(table: Table, steps: pd.DataFrame) -> "Figure | None":
    """Draw the MSE by step of the horizon, mean over seeds; None without steps."""
    means = steps.merge(table.runs[["run", "dataset", "horizon", "method"]], on="run")
    by_cell = dict(list(means.groupby(["dataset", "horizon", "method"]))) if len(means) else {}

    def draw(axes: "Axes", row: Row, method: str, colour: str) -> bool:
        cell = by_cell.get((*row, method))
        if cell is not None:
            axes.plot(cell.groupby("step")["mse"].mean(), color=colour, lw=1.2)
        return cell is not None

    return panels(table, draw, "step", "MSE", {})


def panels(
    table: Table,
    draw: "Callable[[Axes, Row, str, str], bool]",
    x_name: str,
    y_name: str,
    lines: Mapping[str, str],
) -> "Figure | None":
    """Draw a panel for each row of the table, with one legend for colours and line styles."""
    from matplotlib.lines import Line2D

    down = -(-len(table.rows) // ACROSS)
    figure, axes = style.subplots(11, 2.5 * down + 0.8, down, ACROSS)
    drawn = set()
    for row, panel in zip(table.rows, axes.flat, strict=False):
        for method, colour in colours(table).items():
            if (row, method) in table.cells and draw(panel, row, method, colour):
                drawn.add(method)
        panel.set(title=" ".join(row), xlabel=x_name, ylabel=y_name)
    for panel in axes.flat:
        panel.set_visible(panel.has_data())
    handles = [Line2D([], [], color=c, label=m) for m, c in colours(table).items() if m in drawn]
    handles += [Line2D([], [], color="k", ls=line, label=name) for name, line in lines.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=ACROSS)
    return figure if drawn else None


def svg(figure: "Figure") -> bytes:
    """A figure as SVG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "report", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
