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


def _finish(figure: plt.Figure, axes: plt.Axes, title: str, ylabel: str, steps: int) -> None:
    """Title, labels and a legend below a plot over time."""
    axes.set(title=title, xlabel="step", ylabel=ylabel, xlim=(0, steps - 1))
    figure.legend(loc="outside lower center", frameon=False, ncols=4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_figure(figure: plt.Figure, path: str | Path) -> None:
    """Write a figure whole, and free it."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format=Path(path).suffix[1:])
    plt.close(figure)
