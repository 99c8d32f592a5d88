"""Pictures of forecasts."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from utils.files import whole_file

TRUTH = "#4d4d4d"
FORECASTS = ("#d1495b", "#3d7ea6", "#8fb339")


def plot_forecast(
    path: str | Path,
    history: np.ndarray,
    true: np.ndarray,
    forecasts: dict[str, np.ndarray],
    title: str,
) -> None:
    """Draw one channel of one window: look-back and truth in one line, forecasts over it.

    Args:
        path: picture to write; its ending is the format.
        history: look-back values `[seq_len]`. true: the horizon `[pred_len]`.
        forecasts: forecasts of the horizon `[pred_len]` by name, the main one first.
        title: what window and channel this is.
    """
    cut = len(history)
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.plot(np.arange(cut + len(true)), [*history, *true], color=TRUTH, lw=1.3, label="truth")
    for rank, (name, values) in enumerate(forecasts.items()):
        style = {"color": FORECASTS[rank % len(FORECASTS)], "lw": 1.6 - 0.4 * rank}
        axes.plot(cut + np.arange(len(values)), values, label=name, **style)
    axes.axvline(cut - 0.5, color="#b0b0b0", lw=0.8, ls=":")
    _finish(figure, axes, title, "value", cut + len(true))
    save_figure(figure, path)


def plot_imputation(
    path: str | Path, true: np.ndarray, pred: np.ndarray, observed: np.ndarray, title: str
) -> None:
    """Draw one channel of one window with what was imputed.

    Args:
        path: picture to write; its ending is the format.
        true, pred: truth and reconstruction `[length]`.
        observed: True where the model saw the truth `[length]`.
        title: what window and channel this is.
    """
    steps = np.arange(len(true))
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.plot(steps, true, color=TRUTH, lw=1.0, alpha=0.5, label="truth")
    axes.plot(steps[observed], true[observed], ".", color=TRUTH, ms=4, label="observed")
    axes.plot(steps[~observed], pred[~observed], "o", color=FORECASTS[0], ms=4, label="imputed")
    _finish(figure, axes, title, "value", len(true))
    save_figure(figure, path)


def plot_confusion(path: str | Path, counts: np.ndarray, names: list[str], title: str) -> None:
    """Draw a confusion matrix.

    Args:
        path: picture to write; its ending is the format.
        counts: samples `[true class, predicted class]`. names: of the classes.
        title: what was classified.
    """
    side = max(3.5, 0.45 * len(names) + 2)
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 26:
        for row, column in np.argwhere(counts > 0):
            color = "white" if shares[row, column] > 0.5 else "black"
            place = {"ha": "center", "va": "center", "fontsize": 8}
            axes.text(column, row, str(counts[row, column]), color=color, **place)
    ticks = range(len(names))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, parse_math=False)
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    save_figure(figure, path)


def plot_anomalies(
    path: str | Path,
    scores: np.ndarray,
    limit: float,
    segments: list[tuple[int, int]],
    title: str,
) -> None:
    """Draw the scores of all points with the threshold and the labelled segments.

    Args:
        path: picture to write; its ending is the format.
        scores: anomaly scores `[points]`; of many points, the largest of each stretch is drawn.
        limit: threshold. segments: labelled stretches `[start, stop)`.
        title: what was scored.
    """
    figure, axes = plt.subplots(figsize=(11, 3.4), layout="constrained")
    for number, (start, stop) in enumerate(segments):
        label = "labelled anomaly" if number == 0 else None
        axes.axvspan(start, stop, color="#f2c14e", alpha=0.5, lw=0, label=label)
    stretch = max(1, len(scores) // 4000)
    starts = np.arange(0, len(scores), stretch)
    largest = np.maximum.reduceat(scores, starts)
    axes.plot(starts, largest, color=TRUTH, lw=0.7, label="score")
    axes.axhline(limit, color=FORECASTS[0], lw=1.2, ls="--", label="threshold")
    axes.set_yscale("log")
    _finish(figure, axes, title, "squared error", len(scores))
    save_figure(figure, path)


def _finish(figure: plt.Figure, axes: plt.Axes, title: str, ylabel: str, steps: int) -> None:
    """Title, labels and a legend below a plot over time."""
    axes.set(xlabel="step", ylabel=ylabel, xlim=(0, max(steps - 1, 1)))
    axes.set_title(title, parse_math=False)  # a name from a file may hold dollar signs
    figure.legend(loc="outside lower center", frameon=False, ncols=4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_figure(figure: plt.Figure, path: str | Path) -> None:
    """Write a figure whole, and free it."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format=Path(path).suffix[1:])
    plt.close(figure)
