"""The pictures of a report: training curves, and errors by step of the horizon."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from utils import plots
from utils.reporting.tables import PLACE, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (
    *(plots.BLUE, plots.VERMILLION, plots.GREEN, plots.ORANGE),
    *(plots.PURPLE, plots.SKY, plots.BLACK, plots.GREY),
)
MOST = len(COLOURS)  # methods in a picture
ACROSS = 3  # panels


def training_curves(table: Table, epochs: pd.DataFrame) -> "Figure | None":
    """Draw validation score and training loss by epoch, of first seeds; None without epochs."""
    first = table.runs.sort_values("seed").drop_duplicates(PLACE)
    curves = first[["run", *PLACE]].merge(epochs, on="run", how="inner")
    if "validation" in curves:
        curves = curves[curves["validation"].notna().groupby(curves["run"]).transform("any")]
    lines = {"validation": ("-", "validation score"), "train": ("--", "training loss")}
    return panels(table, curves, "epoch", "score, loss", lines)


def errors_by_step(table: Table, steps: pd.DataFrame) -> "Figure | None":
    """Draw the MSE by step of the horizon, mean over seeds; None without steps."""
    curves = steps.merge(table.runs[["run", *PLACE]], on="run")
    if len(curves):
        curves = curves.groupby([*PLACE, "step"], as_index=False)["mse"].mean()
    return panels(table, curves, "step", "MSE", {"mse": ("-", "")})


@plots.styled()
def panels(
    table: Table, curves: pd.DataFrame, x: str, y_name: str, lines: Mapping[str, tuple[str, str]]
) -> "Figure | None":
    """Draw a panel for each row of the table, with one legend for colours and lines; None without
    curves.

    Args:
        curves: columns `x` and those of `lines`, by data set, horizon and method.
        lines: style and name of the line of a column.
    """
    from matplotlib.lines import Line2D

    if curves.empty:
        return None
    by_cell = dict(list(curves.groupby(PLACE)))
    down = -(-len(table.rows) // ACROSS)
    figure, axes = plots.subplots(11, 2.5 * down + 0.8, down, ACROSS)
    colours = dict(zip(table.methods, COLOURS, strict=False))
    for row, panel in zip(table.rows, axes.flat, strict=False):
        for method, colour in colours.items():
            curve = by_cell.get((*row, method), curves[:0])
            marker = "." if len(curve) == 1 else ""
            for column, (line, _) in lines.items() if len(curve) else ():
                panel.plot(curve[x], curve[column], line, color=colour, lw=1.2, marker=marker)
        panel.set(title=" ".join(row), xlabel=x, ylabel=y_name)
    for panel in axes.flat:
        panel.set_visible(panel.has_data())
    drawn = set(curves["method"])
    handles = [Line2D([], [], color=c, label=m) for m, c in colours.items() if m in drawn]
    handles += [Line2D([], [], color="k", ls=ls, label=name) for ls, name in lines.values() if name]
    figure.legend(handles=handles, loc="outside lower center", ncols=ACROSS)
    return figure


def svg(figure: "Figure") -> bytes:
    """A figure as SVG, whose texts are texts."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        return plots.image(figure, "svg")
