"""What all figures have in common: colours, axes with dates, and files; matplotlib is imported by
the functions, since it is slow to import."""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
}
# common fonts with more scripts than matplotlib's own; those that are not installed are left out
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei"),
    *("PingFang SC", "Hiragino Sans", "Malgun Gothic", "Arial Unicode MS", "Noto Sans"),
)
reported_missing: set[str] = set()  # characters, of the one line that a process prints


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the common style; also a decorator, `@styled()`, of functions that draw.

    Installed fonts fill in for characters that matplotlib's own lacks.
    """
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
def save(figure: "Figure", path: str | Path) -> list[Path]:
    """Write a figure, atomically; beside a PNG its PDF. Returns the written paths.

    Where the fonts lack a character, one line says so, once in a process.
    """
    path = Path(path)
    also = [path.with_suffix(".pdf")] if path.suffix.lower() == ".png" else []
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for target in (path, *also):
            kind = target.suffix[1:].lower()
            with whole_file(target) as part:
                figure.savefig(part, dpi=120, format=kind, metadata=undated.get(kind))
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

    @styled()
    def png() -> bytes:
        file = BytesIO()
        figure.savefig(file, dpi=100, format="png")
        return file.getvalue()

    figure._repr_png_ = png
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
