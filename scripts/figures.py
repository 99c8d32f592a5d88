"""The figures of the method, drawn from a checkpoint; `scripts.visualize` is the command."""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import Tensor, nn

from exp.exp_long_term_forecasting import ExpLongTermForecasting
from exp.intervals import Intervals, LookBacks
from layers.backbone import load_backbone
from layers.instance_norm import standardise
from layers.patching import patches
from run import parse_args
from utils import plots
from utils.bars import clock
from utils.batch import Batch
from utils.checkpoint import Checkpoint, read_checkpoint
from utils.checkpoint_options import checkpoint_file
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import require_file
from utils.metrics import PlacedErrorSums
from utils.naive import naive_lines
from utils.results import read_record

TASK = "long_term_forecast"
WORDS = 250  # of the t-SNE, and as many tokens of each kind: at most 1250 points in all
ATTENDED = 2048  # most tokens whose attention is averaged
PATCH_LEN, STRIDE = 16, 8  # of the untrained projection: those of the published scripts
LEVELS = (80, 95)  # of intervals, in %
# of the kinds of tokens, in this order
POINTS = (
    {"color": plots.ORANGE, "marker": "o", "s": 10, "alpha": 0.7, "lw": 0},
    {"color": plots.BLUE, "marker": "^", "s": 14, "alpha": 0.8, "lw": 0},
    {"color": plots.VERMILLION, "marker": "x", "s": 14, "alpha": 0.8, "lw": 1},
)
MOST_CHANNELS, MOST_WORDS = 40, 40  # in a figure of the attention


class LacksError(UserError):
    """A model or a run lacks what a figure shows."""


@dataclass
class Source:
    """A checkpoint with the run that is rebuilt from it, the model's name for figures, and the
    folder of the run's results; None if it is not known."""

    checkpoint: Checkpoint
    run: ExpLongTermForecasting
    name: str
    results: Path | None

    @classmethod
    def read(cls, path: Path, args: Namespace) -> "Source":
        """Read a checkpoint, or that of a folder of results or checkpoints, and rebuild its run, on
        the device and the data of `args`. A `UserError` if that can't be."""
        file = checkpoint_of(path)
        checkpoint = read_checkpoint(file)
        run = ExpLongTermForecasting(run_arguments(checkpoint, args), writes=False)
        beside = [path, Path("results") / file.parent.name]
        results = next((folder for folder in beside if (folder / "run.json").is_file()), None)
        return cls(checkpoint, run, run.args.model, results)

    def check_comparable(self, other: "Source") -> None:
        """Raise a `UserError` if the other run has other test windows; name the two apart."""
        ours, theirs = self.run.test_set, other.run.test_set
        same = ours.columns == theirs.columns and ours.pred_len == theirs.pred_len
        if not same or len(ours) != len(theirs) or ours.dates[-1] != theirs.dates[-1]:
            raise UserError(
                f"--against {other.checkpoint.path} has other test windows than "
                f"{self.checkpoint.path}: channels, horizon and dates must be the same"
            )
        if other.name == self.name:
            other.name += " (--against)"


def checkpoint_of(path: Path) -> Path:
    """Find the checkpoint of a folder of results or checkpoints; a file is one itself."""
    file = checkpoint_file(path)
    if (path / "run.json").is_file():
        named = json.loads((path / "run.json").read_text()).get("checkpoint")
        if named is None:
            raise UserError(f"{path}: the run of a model without parameters has no checkpoint")
        # as the run wrote it: relative to its working folder, two above the results
        beside = path.resolve().parent.parent / named
        file = beside if beside.is_file() else Path(named)
    require_file(file, "give a checkpoint, or the results folder of a run, as --checkpoint")
    return file


def run_arguments(checkpoint: Checkpoint, args: Namespace) -> Configuration:
    """Complete the arguments of a checkpoint's training to those of a test; see `Source.read`."""
    path, trained = checkpoint.path, checkpoint.metadata.get("arguments")
    if trained is None:
        raise UserError(
            f"{path}: it does not say how it was trained, as files of the authors' code: figures "
            "need a checkpoint of run.py"
        )
    if trained["task_name"] != TASK:
        raise UserError(f"{path}: of --task_name {trained['task_name']}; figures are of {TASK}")
    options = {"checkpoint": path, "root_path": args.root_path, "data_path": args.data_path}
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return parse_args([*words, *([] if args.use_gpu else ["--use_gpu=0"])])


# The figures


def draw_tsne(source: Source, against: Source | None, args: Namespace) -> list[Path]:
    """Draw word embeddings and temporal tokens, side by side, each by its own t-SNE."""
    words = word_embeddings(source)
    if against is None:
        tokens = {"temporal tokens": untrained_projection(source, words.shape[1])}
        left = {"Linear projection as in GPT4TS, untrained": (words, tokens)}
    else:
        left = {f"{against.name}, trained": (word_embeddings(against), tokens_of(against))}
    pairs = left | {f"{source.name}, trained": (words, tokens_of(source))}
    panels = {
        name: embed({"word embeddings": words, **tokens}, args.seed)
        for name, (words, tokens) in pairs.items()
    }
    title = f"Word embeddings and tokens of test windows of {source.run.tested_file.name}"
    return plot_embeddings(args.output / "tsne.png", panels, title)


def word_embeddings(source: Source) -> Tensor:
    """Return the token table `[vocabulary, d_model]` of the language model."""
    backbone = source.run.objective.notes.get("backbone")
    if backbone is None:
        raise LacksError(f"tsne: {source.name} has no language model")
    names = ("llm", "llm_weights", "seed")
    model = load_backbone(*(backbone[name] for name in names), n_layer=1)
    return model.get_input_embeddings().weight.detach()


def tokens_of(source: Source) -> dict[str, Tensor]:
    """Return the tokens of test windows by kind, each `[tokens, d_model]`."""
    objective = source.run.objective
    objective.model.eval()
    with torch.no_grad():
        return objective.tokens(shown_batch(source.run, WORDS))


def untrained_projection(source: Source, width: int) -> Tensor:
    """Project patches of standardised test windows by random weights, as GPT4TS embeds them:
    `[tokens, width]`."""
    batch = shown_batch(source.run, WORDS)
    x, _, _ = standardise(batch.x)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        linear = nn.Linear(min(PATCH_LEN, x.shape[1]), width).to(x.device)
        return linear(patches(x, linear.in_features, STRIDE)).flatten(0, 2)


def shown_batch(run: ExpLongTermForecasting, windows: int) -> Batch:
    """Make the batch of at most so many test windows, spread evenly."""
    index = torch.tensor(plots.evenly(len(run.test_set), windows), device=run.device)
    return run.windows_batch(run.test_set, index)


def embed(kinds: dict[str, Tensor], seed: int) -> dict[str, np.ndarray]:
    """Choose rows of each kind, and map all to the plane by one t-SNE: `[points, 2]` by kind."""
    rng = np.random.default_rng(seed)
    rows = {}
    for name, values in kinds.items():
        array = values.float().cpu().numpy()
        rows[name] = array[np.sort(rng.permutation(len(array))[:WORDS])]
    points = np.concatenate(list(rows.values()))
    perplexity = min(30, (len(points) - 1) / 3)
    with clock(f"t-SNE of {len(points):,} points"):
        places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    ends = np.cumsum([len(values) for values in rows.values()])[:-1]
    return dict(zip(rows, np.split(places, ends), strict=True))


def draw_attention(source: Source, against: Source | None, args: Namespace) -> list[Path]:
    """Draw how the channels attend to the principal words."""
    run = source.run
    run.objective.model.eval()
    with torch.no_grad():
        batch = shown_batch(run, max(1, ATTENDED // run.n_channels))
        attention = run.objective.word_attention(batch)
    if attention is None:
        raise LacksError(f"attention: this {source.name} has no attention to words")
    title = (
        f"{source.name} on {run.tested_file.name}: attention of channels to principal words\n"
        f"mean over heads and {len(batch)} test windows; 1 is uniform attention"
    )
    path, names = args.output / "attention.png", run.test_set.columns
    return plot_attention(path, attention.cpu().numpy(), names, title)


def draw_distance(source: Source, against: Source | None, args: Namespace) -> list[Path]:
    """Draw the feature distance between the branches by layer over training; a checkpoint alone has
    the epochs until its own."""
    notes = source.checkpoint.metadata
    record = source.results and read_record(source.results)
    epochs = (record or notes)["epochs"]
    recorded = [e for e in epochs if any(n.startswith("distance_") for n in e["diagnostics"])]
    if not recorded:
        raise LacksError(
            f"distance: {source.checkpoint.path} has none: it is recorded of models with two "
            "branches that the feature loss aligns; of fewer than 200 training windows with "
            "--tensorboard alone"
        )
    distances = np.array([list(epoch["diagnostics"].values()) for epoch in recorded])
    numbers = np.array([epoch["epoch"] for epoch in recorded])
    on = f"{source.name} on {source.run.args.data_path}"
    title = f"{on}: distance between the features of the branches"
    path = args.output / "distance.png"
    return plot_distances(path, numbers, distances, notes["epoch"]["epoch"], title)


def draw_forecast(source: Source, against: Source | None, args: Namespace) -> list[Path]:
    """Draw the forecasts of some channels of the chosen windows, in original units."""
    run, written = source.run, []
    windows = run.test_set
    names = windows.scored_columns
    for number in args.windows:
        if number >= len(windows):
            raise UserError(
                f"--windows {number}: {run.tested_file} has test windows 0 to {len(windows) - 1}"
            )
        x, true, pred, bands = window_in_units(source, number)
        other = None if against is None else window_in_units(against, number)[2]
        times, panels = run.times(windows, number), []
        for i in plots.evenly(len(names), plots.MOST_PANELS):
            lines = naive_lines(x[:, i], len(true), run.season_length)
            naive_name, naive = next(iter(lines.items()))
            forecasts = {source.name: pred[:, i], naive_name: naive}
            if against is not None:
                forecasts[against.name] = other[:, i]
            errors = f"{source.name} {plots.errors_of(pred[:, i], true[:, i])}"
            title = f"{names[i]}: {errors}; {plots.with_mse(naive_name, naive, true[:, i])}"
            of_channel = {level: (low[:, i], high[:, i]) for level, (low, high) in bands.items()}
            panels.append(plots.ForecastPanel(title, x[:, i], true[:, i], forecasts, of_channel))
        title = (
            f"{run.tested_file.name}, test window {number} of {len(windows)}: "
            f"{plots.period(times[-len(true) :])}"
        )
        path = args.output / f"forecast_{number}.png"
        written += plots.plot_window(path, times, panels, "original units", title)
    return written


def window_in_units(source: Source, number: int) -> tuple:
    """Forecast one test window, in original units.

    Returns:
        Look-back, truth and forecast of the scored channels `[steps, channels]`, and the bounds of
        the intervals by level in %; no level if the run has no intervals.
    """
    run, windows = source.run, source.run.test_set
    batch = run.windows_batch(windows, run.one(number))
    pred = windows.scored(run.evaluation.predict(batch))
    x, true = windows.scored(batch.x), windows.scored(batch.y)

    def in_units(values: Tensor) -> np.ndarray:
        return windows.inverse_transform(values, run.one(number))[0].cpu().numpy()

    bands = {}
    path = source.results and source.results / "intervals.safetensors"
    if path and path.is_file():
        intervals, looks = Intervals.load(path), LookBacks.of(x)
        for level in LEVELS:
            bands[level] = tuple(map(in_units, intervals.bounds(pred, looks, level)))
    return in_units(x), in_units(true), in_units(pred), bands


def draw_steps(source: Source, against: Source | None, args: Namespace) -> list[Path]:
    """Draw the errors of all test windows by step of the horizon, with a naive forecast."""
    errors = errors_by_step(source)
    if against is not None:
        errors[against.name] = errors_by_step(against)[against.name]
    count = f"{len(source.run.test_set):,} test windows"
    title = f"{source.run.tested_file.name}: errors by step, {count}, standardised"
    return plot_steps(args.output / "steps.png", errors, title)


def errors_by_step(source: Source) -> dict[str, dict[str, list[float]]]:
    """Return MSE and MAE by step of the model and of the naive forecast, by their names."""
    run, windows = source.run, source.run.test_set
    of_model, of_naive, name = PlacedErrorSums(), PlacedErrorSums(), ""
    for index in run.evaluation.batches(windows, f"forecasting by {source.name}"):
        batch = run.windows_batch(windows, index)
        x, true = windows.scored(batch.x), windows.scored(batch.y).cpu()
        of_model.add(windows.scored(run.evaluation.predict(batch)).cpu(), true)
        steps_first = x.transpose(0, 1).cpu().numpy()
        lines = naive_lines(steps_first, true.shape[1], run.season_length)
        name, naive = next(iter(lines.items()))
        of_naive.add(torch.from_numpy(naive).transpose(0, 1), true)
    return {source.name: of_model.by_step(), name: of_naive.by_step()}


# The drawings: each writes an image to `path`, and beside a PNG a PDF; returns the written files


@plots.styled()
def plot_embeddings(
    path: str | Path, panels: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> list[Path]:
    """Plot points in the plane by kind, `[points, 2]`, words first, then tokens: a panel by title,
    one beside the other."""
    figure, grid = plots.subplots(4.8 * len(panels), 5.2, columns=len(panels))
    handles = {}
    for axes, (name, kinds) in zip(grid.flat, panels.items(), strict=True):
        for (kind, points), style in zip(kinds.items(), POINTS, strict=False):
            handles.setdefault(kind, axes.scatter(*points.T, label=kind, **style))
        axes.set(title=name, xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
        axes.set_box_aspect(1)
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    return plots.save(figure, path)


@plots.styled()
def plot_attention(
    path: str | Path, attention: np.ndarray, channels: Sequence[str], title: str
) -> list[Path]:
    """Plot how channels attend to principal words: the words with the most attention.

    Args:
        attention: weights `[channels, words]`, whose rows add up to 1.
        channels: their names.
    """
    rows = plots.evenly(len(channels), MOST_CHANNELS)
    relative = attention * attention.shape[1]
    words = np.sort(np.argsort(-relative.mean(axis=0), kind="stable")[:MOST_WORDS])
    figure, ((axes,),) = plots.subplots(2.5 + 0.22 * len(words), 2.2 + 0.24 * len(rows))
    shown = relative[np.ix_(rows, words)]
    image = axes.imshow(shown, cmap=plots.SEQUENTIAL, aspect="auto", vmin=min(1, shown.min()))
    axes.set_yticks(range(len(rows)), plots.shorten([channels[i] for i in rows]))
    axes.set_xticks(range(len(words)), [str(word + 1) for word in words], rotation=90, fontsize=8)
    what = f"principal word: {len(words)} of {attention.shape[1]} with the most attention"
    axes.set(title=title, ylabel="channel", xlabel=what)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="attention / uniform attention", pad=0.02)
    return plots.save(figure, path)


@plots.styled()
def plot_distances(
    path: str | Path, epochs: np.ndarray, distances: np.ndarray, best: int | None, title: str
) -> list[Path]:
    """Plot the feature distance between the branches over training, a line a hidden state.

    Args:
        epochs: their numbers `[epochs]`. distances: `[epochs, states]`. best: of the checkpoint.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, ((axes,),) = plots.subplots(7.5, 4.2)
    states = distances.shape[1]
    for i in range(states):
        colour = colormaps["viridis"](0.9 * i / max(states - 1, 1))
        name = {0: "0 (embedding)", states - 1: f"{i} (last)"}.get(i, str(i))
        axes.plot(epochs, distances[:, i], "o-", ms=3.5, lw=1.5, color=colour, label=name)
    if best is not None:
        axes.axvline(best, color=plots.BLACK, lw=0.8, ls=":")
        place = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
        axes.annotate("checkpoint", (best, 0.02), (3, 0), fontsize=8, **place)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set(title=title, xlabel="epoch", ylabel="mean feature loss, without weight")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", title="hidden state")
    return plots.save(figure, path)


@plots.styled()
def plot_steps(
    path: str | Path, errors: Mapping[str, Mapping[str, Sequence[float]]], title: str
) -> list[Path]:
    """Plot MSE and MAE by step of the horizon: `mse` and `mae` of each step by forecast, the main
    one first."""
    figure, grid = plots.subplots(10, 4, columns=2)
    for axes, score in zip(grid.flat, ("mse", "mae"), strict=True):
        for rank, (name, by_step) in enumerate(errors.items()):
            steps = np.arange(1, len(by_step[score]) + 1)
            label = name if score == "mse" else None
            marker = "o" if len(steps) == 1 else None
            style = plots.LINES[rank % len(plots.LINES)]
            axes.plot(steps, by_step[score], label=label, marker=marker, **style)
        axes.set(xlabel="step of the horizon", ylabel=score.upper())
        axes.set_ylim(bottom=0)
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(loc="outside lower center", ncols=4)
    return plots.save(figure, path)


FIGURES: dict[str, Callable[[Source, Source | None, Namespace], list[Path]]] = {
    "tsne": draw_tsne,
    "attention": draw_attention,
    "distance": draw_distance,
    "forecast": draw_forecast,
    "steps": draw_steps,
}
