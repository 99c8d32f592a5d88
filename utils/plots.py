"""Figures: their common style, and those that runs leave: forecasts, imputations, detections and
confusion matrices. Matplotlib is imported by the functions, since it is slow to import.

Functions with a `path` write an image there, whose suffix is the format, and beside a PNG a PDF;
they return the written files.
"""

import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from utils.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color)
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
GREY = "#595959"
SEQUENTIAL = "cividis"  # for the colour-blind, too
# of forecasts: the model's, the baseline's, others'
LINES = (
    {"color": BLUE, "lw": 1.6},
    {"color": VERMILLION, "lw": 1.1, "ls": (0, (4, 2))},
    {"color": GREEN, "lw": 1.1, "ls": (0, (5, 1, 1, 1))},
)
SETTINGS = {
    "text.parse_math": False,  # names from files may contain dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.titlesize": 11,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "report",
}
# common fonts with more scripts than matplotlib's own; those that are not installed are left out
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei"),
    *("PingFang SC", "Hiragino Sans", "Malgun Gothic", "Arial Unicode MS", "Noto Sans"),
)
reported_missing: set[str] = set()  # characters, of the one line that a process prints

Bands = Mapping[float, tuple[np.ndarray, np.ndarray]]  # lower and upper bounds by level in %

MAX_BINS, MOST_PANELS = 4000, 6
SHOWN_HORIZONS, SHOWN_STEPS = 4, 24  # least history before a forecast of the future


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the common style; also a decorator, `@styled()`, of functions that draw. Installed
    fonts fill in for characters that matplotlib's own lacks."""
    from matplotlib import rc_context, rcParams
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    families = [*rcParams["font.sans-serif"][:1], *(name for name in FONTS if name in installed)]
    with rc_context(SETTINGS | {"font.family": families}):
        yield


def subplots(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> "tuple[Figure, np.ndarray]":
    """Make a figure, in inches, and its axes `[rows, columns]`; without pyplot, which keeps figures
    and needs a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


@styled()
def image(figure: "Figure", kind: str, dpi: int = 100) -> bytes:
    """A figure as `png`, `pdf` or `svg`; the same figure gives the same bytes."""
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    file = BytesIO()
    figure.savefig(file, format=kind, dpi=dpi, metadata=undated.get(kind))
    return file.getvalue()


def save(figure: "Figure", path: str | Path) -> list[Path]:
    """Write a figure, atomically; beside a PNG its PDF. Returns the written paths. Where the fonts
    lack a character, one line says so, once in a process."""
    path = Path(path)
    also = [path.with_suffix(".pdf")] if path.suffix.lower() == ".png" else []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for target in (path, *also):
            with whole_file(target) as part:
                part.write_bytes(image(figure, target.suffix[1:].lower(), dpi=120))
            figure.set_layout_engine("none")  # it is laid out now
    said = " ".join(str(warning.message) for warning in caught)
    missing = dict.fromkeys(chr(int(code)) for code in re.findall(r"Glyph (\d+) ", said))
    if missing and not reported_missing:
        reported_missing.update(missing)
        print(
            f"warning: figures: no installed font has {''.join(missing)[:10]}, drawn as boxes: "
            "install one that does, such as Noto Sans CJK",
            file=sys.stderr,
        )
    return [path, *also]


def for_notebooks(figure: "Figure") -> "Figure":
    """Let notebooks show a figure, which pyplot does not know; returns it."""
    figure._repr_png_ = partial(image, figure, "png")
    return figure


def mark_time(axes: "Axes", times: pd.Index) -> None:
    """Label an x axis with the dates `times`, or as steps where they are numbers."""
    if isinstance(times, pd.DatetimeIndex):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("date")
    else:
        axes.set_xlabel(times.name or "step")
    if len(times) > 1:
        axes.set_xlim(times[0], times[-1])


def mixed(colour: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white, of which the rest is."""
    from matplotlib.colors import to_rgb

    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def wall_times(times: pd.Index) -> pd.Index:
    """Give timestamps as clocks show them, without time zone; other numbers stay."""
    if isinstance(times, pd.PeriodIndex):
        times = times.to_timestamp()
    aware = isinstance(times, pd.DatetimeIndex) and times.tz is not None
    return times.tz_localize(None) if aware else times


def period(times: pd.Index) -> str:
    """Name the first and the last of some timestamps."""
    if not isinstance(times, pd.DatetimeIndex):
        return f"{times.name or 'steps'} {times[0]} to {times[-1]}"
    whole_days = (times == times.normalize()).all()
    first, last = times[[0, -1]].strftime("%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M")
    return f"{first} to {last}"


def evenly(count: int, most: int) -> list[int]:
    """Choose at most `most` of `count` numbers from 0, evenly."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def shorten(names: Sequence[object], most: int = 24) -> list[str]:
    """Shorten long names, for ticks and titles."""
    texts = [str(name) for name in names]
    return [text if len(text) <= most else f"{text[: most - 1]}…" for text in texts]


def errors_of(pred: np.ndarray, true: np.ndarray) -> str:
    """Write MSE and MAE of a forecast."""
    if not len(true):
        return "nothing to score"
    error = pred - true
    return f"MSE {np.square(error).mean():.3g}, MAE {np.abs(error).mean():.3g}"


def with_mse(name: str, pred: np.ndarray, true: np.ndarray) -> str:
    """Name a baseline with its MSE."""
    if not len(true):
        return name
    return f"{name}: MSE {np.square(pred - true).mean():.3g}"


@dataclass(frozen=True)
class ForecastPanel:
    """One channel of one window.

    Attributes:
        history: look-back `[seq_len]`. true: truth `[pred_len]`; empty of the future.
        forecasts: `[pred_len]` by name, the main one first.
        bands: prediction intervals of the main one, by level in %.
    """

    title: str
    history: np.ndarray
    true: np.ndarray
    forecasts: Mapping[str, np.ndarray]
    bands: Bands = field(default_factory=dict)


def _draw(axes: "Axes", times: pd.Index, panel: ForecastPanel, ylabel: str) -> None:
    """Draw a panel with its dates."""
    cut, x = len(panel.history), times.to_numpy()
    known = np.concatenate([panel.history, panel.true])
    label = "truth" if len(panel.true) else "history"
    axes.plot(x[: len(known)], known, color=GREY, lw=1.3, label=label)
    ahead, clear = x[cut:], 1.0  # share of white
    for rank, level in enumerate(sorted(panel.bands, reverse=True)):
        clear *= max(0.82 - 0.14 * rank, 0.4)
        # opaque, so that the legend has the colour of a band upon a wider one
        style = {"color": mixed(BLUE, 1 - clear), "zorder": 1, "label": f"{level:g} % interval"}
        if len(ahead) > 1:
            axes.fill_between(ahead, *panel.bands[level], lw=0, **style)
        else:  # an area would have no width
            axes.vlines(ahead, *panel.bands[level], lw=8, **style)
    single = {"marker": "o", "ms": 4} if len(ahead) == 1 else {}
    for rank, (name, values) in enumerate(panel.forecasts.items()):
        style = LINES[rank % len(LINES)] | single
        axes.plot(ahead, values, label=name, zorder=3 - 0.1 * rank, **style)
    if 0 < cut < len(x):
        axes.axvline(x[cut - 1], color="#a0a0a0", lw=0.8, ls=":")
    axes.set(title=panel.title, ylabel=ylabel)
    mark_time(axes, times)


def plot_window(
    path: str | Path, times: pd.Index, panels: Sequence[ForecastPanel], ylabel: str, title: str = ""
) -> list[Path]:
    """Plot the forecasts of channels of one window: look-back and truth as one line, and the
    forecasts; `times` are timestamps, or numbers, of both `[seq_len + pred_len]`."""
    return save(_figure([times] * len(panels), panels, ylabel, title), path)


@styled()
def _figure(
    times: Sequence[pd.Index], panels: Sequence[ForecastPanel], ylabel: str, title: str
) -> "Figure":
    """Draw panels, each with timestamps of its own; see `plot_window`."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = 1.4 + 2.4 * rows if title else 3.6 * rows
    figure, grid = subplots(6 + 3 * columns, height, rows, columns)
    for axes, of_panel, panel in zip(grid.flat, times, panels, strict=False):
        _draw(axes, of_panel, panel, ylabel)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def plot_future(path: str | Path, *forecast: object, **more: object) -> list[Path]:
    """Write the picture of a forecast of the future; see `future_figure`."""
    return save(future_figure(*forecast, **more), path)


def future_figure(
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    bands: Mapping[float, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    title: str = "",
    model: str = "forecast",
) -> "Figure":
    """Draw a forecast of the future with the end of the history, a panel a series, of more than six
    those of six evenly chosen ones.

    Args:
        history: known values, `[steps, series]`, of which the last four horizons are shown, by
            timestamp or number of the step; NaN where a series has ended.
        forecast: what follows, with the same columns.
        bands: lower and upper bounds by level in %, shaped as `forecast`.
        model: name of the forecast.
    """
    chosen = [forecast.columns[i] for i in evenly(forecast.shape[1], MOST_PANELS)]
    times, panels = [], []
    for name in chosen:
        has_steps = forecast[name].notna().to_numpy()
        ahead = forecast[name][has_steps]
        shown = history[name].dropna().tail(max(SHOWN_HORIZONS * len(ahead), SHOWN_STEPS))
        within = {
            level: tuple(bound[name].to_numpy()[has_steps] for bound in bounds)
            for level, bounds in (bands or {}).items()
        }
        known, future = shown.to_numpy(), {model: ahead.to_numpy()}
        times.append(wall_times(shown.index.append(ahead.index)))
        panels.append(ForecastPanel(*shorten([name], 60), known, np.empty(0), future, within))
    count = forecast.shape[1]
    note = f" ({len(chosen)} of {count} series)" if len(chosen) < count else ""
    of_all = title or f"{model}, {period(wall_times(forecast.index))}"
    return _figure(times, panels, "original units", of_all + note)


@styled()
def plot_imputation(
    path: str | Path,
    times: pd.Index,
    true: np.ndarray,
    imputations: Mapping[str, np.ndarray],
    observed: np.ndarray,
    title: str,
    ylabel: str,
) -> list[Path]:
    """Plot the truth of one channel of one window, whose `times` are timestamps or numbers, and
    reconstructions by name, the main one first, where it was not `observed`; all `[length]`."""
    x = times.to_numpy()
    figure, ((axes,),) = subplots(9, 3.6)
    axes.plot(x, true, color=GREY, lw=0.9, alpha=0.6, label="truth")
    axes.plot(x[observed], true[observed], ".", color=BLACK, ms=3, label="observed")
    colours = ((BLUE, "o", 4), (VERMILLION, "x", 4))
    for (name, values), (colour, marker, size) in zip(imputations.items(), colours, strict=False):
        axes.plot(x[~observed], values[~observed], marker, color=colour, ms=size, mew=1, label=name)
    axes.set(title=title, ylabel=ylabel)
    mark_time(axes, times)
    figure.legend(loc="outside lower center", ncols=4)
    return save(figure, path)


@styled()
def plot_confusion(
    path: str | Path, counts: np.ndarray, names: list[str], title: str
) -> list[Path]:
    """Plot a confusion matrix of `counts` of samples `[true class, predicted class]`; `names` are
    those of the classes."""
    side = max(4, 0.45 * len(names) + 2.5)
    figure, ((axes,),) = subplots(side + 0.8, side)
    recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = axes.imshow(recall, cmap="Blues", vmin=0, vmax=1)
    style = {"ha": "center", "va": "center", "fontsize": 8}
    for row, column in np.argwhere(counts > 0) if len(names) <= 26 else ():
        color = "white" if recall[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), color=color, **style)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    axes.set_xticks(range(len(names)), shorten(names), rotation=90)
    axes.set_yticks(range(len(names)), shorten(names))
    figure.colorbar(shades, ax=axes, shrink=0.7, label="share of the true class")
    return save(figure, path)


@styled()
def plot_anomalies(
    path: str | Path,
    scores: np.ndarray,
    threshold: float,
    segments: list[tuple[int, int]],
    title: str,
) -> list[Path]:
    """Plot the scores of all points `[points]`, of long series the maximum of each bin, with the
    threshold above which a point is detected and the labelled segments `[start, stop)`."""
    figure, ((axes,),) = subplots(11, 3.6)
    least = len(scores) / MAX_BINS  # narrower ones would be invisible
    for number, (start, stop) in enumerate(segments):
        label = "labelled anomaly" if number == 0 else None
        stop = max(stop, start + least)
        axes.axvspan(start, stop, color=ORANGE, alpha=0.35, lw=0, label=label)
    starts = np.arange(0, len(scores), max(1, len(scores) // MAX_BINS))
    axes.plot(starts, np.maximum.reduceat(scores, starts), color=GREY, lw=0.7, label="score")
    axes.axhline(threshold, label=f"threshold {threshold:.3g}", color=BLUE, lw=1.4, ls="--")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set(title=title, ylabel="squared error", xlabel="row of the test file")
    axes.set_xlim(0, max(len(scores) - 1, 1))
    figure.legend(loc="outside lower center", ncols=4)
    return save(figure, path)
