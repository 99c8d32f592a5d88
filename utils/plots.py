"""Plots of forecasts, imputations, detections and confusion matrices."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH = "#4d4d4d"
FORECASTS = ("#d1495b", "#3d7ea6", "#8fb339")
MAX_BINS = 4000


def plot_forecast(
    path: str | Path,
    history: np.ndarray,
    true: np.ndarray,
    forecasts: dict[str, np.ndarray],
    title: str,
) -> None:
    """Plot one channel of one window: look-back and truth as one line, and the forecasts.

    Args:
        path: image to write; its suffix is the format.
        history: look-back `[seq_len]`.
        true: truth over the horizon `[pred_len]`.
        forecasts: forecasts `[pred_len]` by name, the main one first.
        title: names the window and the channel.
    """
    cut = len(history)
    figure, axes = _subplots(9, 3.2)
    axes.plot(np.arange(cut + len(true)), [*history, *true], color=TRUTH, lw=1.3, label="truth")
    for rank, (name, values) in enumerate(forecasts.items()):
        style = {"color": FORECASTS[rank % len(FORECASTS)], "lw": 1.6 - 0.4 * rank}
        axes.plot(cut + np.arange(len(values)), values, label=name, **style)
    axes.axvline(cut - 0.5, color="#b0b0b0", lw=0.8, ls=":")
    _finish(figure, axes, title, "value", cut + len(true))
    _save(figure, path)


def plot_imputation(
    path: str | Path, true: np.ndarray, pred: np.ndarray, observed: np.ndarray, title: str
) -> None:
    """Plot one channel of one window with its imputed values.

    Args:
        path: image to write; its suffix is the format.
        true, pred: truth and reconstruction `[length]`.
        observed: True where the value was not masked `[length]`.
        title: names the window and the channel.
    """
    steps = np.arange(len(true))
    figure, axes = _subplots(9, 3.2)
    axes.plot(steps, true, color=TRUTH, lw=1.0, alpha=0.5, label="truth")
    axes.plot(steps[observed], true[observed], ".", color=TRUTH, ms=4, label="observed")
    axes.plot(steps[~observed], pred[~observed], "o", color=FORECASTS[0], ms=4, label="imputed")
    _finish(figure, axes, title, "value", len(true))
    _save(figure, path)


def plot_confusion(path: str | Path, counts: np.ndarray, names: list[str], title: str) -> None:
    """Plot a confusion matrix.

    Args:
        path: image to write; its suffix is the format.
        counts: samples `[true class, predicted class]`.
        names: of the classes.
        title: names the data set.
    """
    side = max(3.5, 0.45 * len(names) + 2)
    figure, axes = _subplots(side, side)
    recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(recall, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 26:
        for row, column in np.argwhere(counts > 0):
            color = "white" if recall[row, column] > 0.5 else "black"
            style = {"ha": "center", "va": "center", "fontsize": 8}
            axes.text(column, row, str(counts[row, column]), color=color, **style)
    ticks = range(len(names))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, parse_math=False)
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    _save(figure, path)


def plot_anomalies(
    path: str | Path,
    scores: np.ndarray,
    threshold: float,
    segments: list[tuple[int, int]],
    title: str,
) -> None:
    """Plot the scores of all points with the threshold and the labelled segments.

    Args:
        path: image to write; its suffix is the format.
        scores: anomaly scores `[points]`; long series are reduced to the maximum of each bin.
        threshold: above it a point is detected.
        segments: labelled segments `[start, stop)`.
        title: names the data set.
    """
    figure, axes = _subplots(11, 3.4)
    for number, (start, stop) in enumerate(segments):
        label = "labelled anomaly" if number == 0 else None
        axes.axvspan(start, stop, color="#f2c14e", alpha=0.5, lw=0, label=label)
    starts = np.arange(0, len(scores), max(1, len(scores) // MAX_BINS))
    axes.plot(starts, np.maximum.reduceat(scores, starts), color=TRUTH, lw=0.7, label="score")
    axes.axhline(threshold, color=FORECASTS[0], lw=1.2, ls="--", label="threshold")
    axes.set_yscale("log")
    _finish(figure, axes, title, "squared error", len(scores))
    _save(figure, path)


def _subplots(width: float, height: float) -> "tuple[Figure, Axes]":
    """Make a figure, in inches; without pyplot, which keeps figures and needs a display."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: "Figure", axes: "Axes", title: str, ylabel: str, steps: int) -> None:
    """Add title, labels and a legend to a plot over time."""
    axes.set(xlabel="step", ylabel=ylabel, xlim=(0, max(steps - 1, 1)))
    axes.set_title(title, parse_math=False)  # names from a file may contain dollar signs
    figure.legend(loc="outside lower center", frameon=False, ncols=4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _save(figure: "Figure", path: str | Path) -> None:
    """Write an image atomically."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format=Path(path).suffix[1:])
