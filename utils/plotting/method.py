"""The figures of the method: embeddings, attention, distance of the branches, errors by step.

Each function writes an image to `path`, and beside a PNG a PDF; it returns the written files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.plotting.style import (
    BLACK,
    BLUE,
    LINES,
    ORANGE,
    SEQUENTIAL,
    VERMILLION,
    evenly,
    save,
    shorten,
    styled,
    subplots,
)

# of the kinds of tokens, in this order
POINTS = (
    {"color": ORANGE, "marker": "o", "s": 10, "alpha": 0.7, "lw": 0},
    {"color": BLUE, "marker": "^", "s": 14, "alpha": 0.8, "lw": 0},
    {"color": VERMILLION, "marker": "x", "s": 14, "alpha": 0.8, "lw": 1},
)
MOST_CHANNELS, MOST_WORDS = 40, 40  # in a figure of the attention


@styled()
def plot_embeddings(
    path: str | Path, panels: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> list[Path]:
    """Plot points in the plane by kind, `[points, 2]`, words first, then tokens: a panel by title,
    one beside the other."""
    figure, grid = subplots(4.8 * len(panels), 5.2, columns=len(panels))
    handles = {}
    for axes, (name, kinds) in zip(grid.flat, panels.items(), strict=True):
        for (kind, points), style in zip(kinds.items(), POINTS, strict=False):
            handles.setdefault(kind, axes.scatter(*points.T, label=kind, **style))
        axes.set(title=name, xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
        axes.set_box_aspect(1)
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    return save(figure, path)


@styled()
def plot_attention(
    path: str | Path, attention: np.ndarray, channels: Sequence[str], title: str
) -> list[Path]:
    """Plot how channels attend to principal words: the words with the most attention.

    Args:
        attention: weights `[channels, words]`, whose rows add up to 1.
        channels: their names.
    """
    rows = evenly(len(channels), MOST_CHANNELS)
    relative = attention * attention.shape[1]
    words = np.sort(np.argsort(-relative.mean(axis=0), kind="stable")[:MOST_WORDS])
    figure, ((axes,),) = subplots(2.5 + 0.22 * len(words), 2.2 + 0.24 * len(rows))
    shown = relative[np.ix_(rows, words)]
    image = axes.imshow(shown, cmap=SEQUENTIAL, aspect="auto", vmin=min(1, shown.min()))
    axes.set_yticks(range(len(rows)), shorten([channels[i] for i in rows]))
    axes.set_xticks(range(len(words)), [str(word + 1) for word in words], rotation=90, fontsize=8)
    what = f"principal word: {len(words)} of {attention.shape[1]} with the most attention"
    axes.set(title=title, ylabel="channel", xlabel=what)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="attention / uniform attention", pad=0.02)
    return save(figure, path)


@styled()
def plot_distances(
    path: str | Path, epochs: np.ndarray, distances: np.ndarray, best: int | None, title: str
) -> list[Path]:
    """Plot the feature distance between the branches over training, a line a hidden state.

    Args:
        epochs: their numbers `[epochs]`. distances: `[epochs, states]`. best: of the checkpoint.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, ((axes,),) = subplots(7.5, 4.2)
    states = distances.shape[1]
    for i in range(states):
        colour = colormaps["viridis"](0.9 * i / max(states - 1, 1))
        name = {0: "0 (embedding)", states - 1: f"{i} (last)"}.get(i, str(i))
        axes.plot(epochs, distances[:, i], "o-", ms=3.5, lw=1.5, color=colour, label=name)
    if best is not None:
        axes.axvline(best, color=BLACK, lw=0.8, ls=":")
        place = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
        axes.annotate("checkpoint", (best, 0.02), (3, 0), fontsize=8, **place)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set(title=title, xlabel="epoch", ylabel="mean feature loss, without weight")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", title="hidden state")
    return save(figure, path)


@styled()
def plot_steps(
    path: str | Path, errors: Mapping[str, Mapping[str, Sequence[float]]], title: str
) -> list[Path]:
    """Plot MSE and MAE by step of the horizon: `mse` and `mae` of each step by forecast, the main
    one first."""
    figure, grid = subplots(10, 4, columns=2)
    for axes, score in zip(grid.flat, ("mse", "mae"), strict=True):
        for rank, (name, by_step) in enumerate(errors.items()):
            steps = np.arange(1, len(by_step[score]) + 1)
            label = name if score == "mse" else None
            style = LINES[rank % len(LINES)] | {"marker": "o" if len(steps) == 1 else None}
            axes.plot(steps, by_step[score], label=label, **style)
        axes.set(xlabel="step of the horizon", ylabel=score.upper())
        axes.set_ylim(bottom=0)
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(loc="outside lower center", ncols=4)
    return save(figure, path)
