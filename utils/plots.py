"""Pictures of forecasts."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from utils.files import whole_file

TRUTH, FORECAST = "#4d4d4d", "#d1495b"


def plot_forecast(
    path: str | Path, history: np.ndarray, true: np.ndarray, pred: np.ndarray, title: str
) -> None:
    """Draw one channel of one window: look-back and truth in one line, the forecast over it.

    Args:
        path: picture to write; its ending is the format.
        history: look-back values `[seq_len]`. true, pred: the horizon `[pred_len]`.
        title: what window and channel this is.
    """
    cut = len(history)
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.plot(np.arange(cut + len(true)), [*history, *true], color=TRUTH, lw=1.3, label="truth")
    axes.plot(cut + np.arange(len(pred)), pred, color=FORECAST, lw=1.6, label="forecast")
    axes.axvline(cut - 0.5, color="#b0b0b0", lw=0.8, ls=":")
    axes.set(title=title, xlabel="step", ylabel="value", xlim=(0, cut + len(true) - 1))
    axes.legend(loc="upper left", frameon=False, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_figure(figure, path)


def save_figure(figure: plt.Figure, path: str | Path) -> None:
    """Write a figure whole, and free it."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format=Path(path).suffix[1:])
    plt.close(figure)
