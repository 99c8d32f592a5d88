"""The figures of the method, drawn from the checkpoint of a small run."""

import contextlib
import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from run import main as run
from scripts import figures, visualize
from scripts.visualize import main
from tests.conftest import load
from tests.exp.small_runs import argv
from utils import plots

pytestmark = pytest.mark.draws
TASK = "long_term_forecast"


@pytest.fixture(scope="module")
def trained(small_data, tmp_path_factory) -> Path:
    """A working folder with a run of CALF and one of GPT4TS."""
    folder = tmp_path_factory.mktemp("visualize")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        assert run(argv(TASK, small_data, "--train_epochs", "2")) == 0
        brief = ("--train_epochs", "1", "--percent", "20", "--patch_len", "8")
        assert run(argv(TASK, small_data, *brief, "--model", "GPT4TS")) == 0
    return folder


@pytest.fixture
def inside(trained, monkeypatch, tmp_path):
    """Work there; returns the results of CALF and those of GPT4TS."""
    monkeypatch.chdir(trained)
    return [next(Path("results").glob(f"*_{name}_*")) for name in ("CALF", "GPT4TS")]


@pytest.fixture
def shown(monkeypatch):
    """What the figures are given, by the names of their functions."""
    given = {}
    monkeypatch.setattr(figures, "WORDS", 40)  # a t-SNE of all takes seconds

    def watch(name: str, module=figures) -> None:
        plain = getattr(module, name)

        def plot(path, *data):
            given.setdefault(name, []).append(data)
            return plain(path, *data)

        monkeypatch.setattr(module, name, plot)

    for name in ("embeddings", "attention", "distances", "steps"):
        watch(f"plot_{name}")
    watch("plot_window", plots)
    return given


@pytest.fixture
def refuse(inside, capsys):
    def attempt(*argv: str) -> str:
        capsys.readouterr()
        assert main([*argv]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert message.startswith("error: ")
        return message

    return attempt


def draw(checkpoint: Path, output: Path, *more: str) -> None:
    assert main(["--checkpoint", str(checkpoint), "--output", str(output), *more]) == 0


def test_all_figures(trained, inside, shown, tmp_path, capsys, monkeypatch):
    """They are written, the t-SNE with equal bytes each time, and nothing else is."""
    monkeypatch.chdir(tmp_path)
    draw(trained / inside[0], tmp_path / "a", "--windows", "0", "7")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    names = ["attention", "distance", "forecast_0", "forecast_7", "steps", "tsne"]
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("png", "pdf"))
    assert capsys.readouterr().err == ""
    ((panels, _),) = shown["plot_embeddings"]
    assert list(panels) == ["Linear projection as in GPT4TS, untrained", "CALF, trained"]
    assert [list(kinds) for kinds in panels.values()] == [
        ["word embeddings", "temporal tokens"],
        ["word embeddings", "temporal tokens", "textual tokens"],
    ]
    sizes = [len(points) for kinds in panels.values() for points in kinds.values()]
    assert sizes == [40] * 5

    # from the checkpoint itself
    (checkpoint,) = (trained / "checkpoints").glob("*CALF*/checkpoint.safetensors")
    draw(checkpoint, tmp_path / "b", "--figures", "tsne")
    for name in ("tsne.png", "tsne.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_against_another_model(inside, shown, small_data, tmp_path, monkeypatch):
    draw(inside[0], tmp_path, "--figures", "tsne", "steps", "--against", str(inside[1]))
    ((panels, _),) = shown["plot_embeddings"]
    assert list(panels) == ["GPT4TS, trained", "CALF, trained"]
    ((errors, _),) = shown["plot_steps"]
    records = [json.loads((folder / "run.json").read_text()) for folder in inside]
    monkeypatch.chdir(tmp_path)
    assert run([*argv(TASK, small_data, "--model", "SeasonalNaive"), "--is_training", "0"]) == 0
    records.append(json.loads(next(Path("results").glob("*/run.json")).read_text()))
    expected = dict(zip(("CALF", "GPT4TS", "seasonal naive (24)"), records, strict=True))
    assert errors.keys() == expected.keys()
    for name, record in expected.items():
        for score in ("mse", "mae"):
            by_step = record["errors"]["by_step"][score]
            np.testing.assert_allclose(errors[name][score], by_step, rtol=1e-4)


def test_forecasts_are_those_of_the_run(inside, shown, small_data, tmp_path):
    draw(inside[0], tmp_path, "--figures", "forecast", "--windows", "5")
    ((times, panels, ylabel, title),) = shown["plot_window"]
    table = pd.read_csv(small_data / "made_up.csv", parse_dates=["date"], index_col="date")
    values, train = table.to_numpy(), table.to_numpy()[:420]
    first = 480 + 5
    assert np.array_equal(times, table.index[first - 24 : first + 8])
    pred = load(inside[0] / "pred.npy")[5] * train.std(axis=0) + train.mean(axis=0)
    assert [panel.title.split(":")[0] for panel in panels] == list(table)
    for i, panel in enumerate(panels):
        np.testing.assert_allclose(panel.history, values[first - 24 : first, i], rtol=1e-4)
        np.testing.assert_allclose(panel.true, values[first : first + 8, i], rtol=1e-4)
        np.testing.assert_allclose(panel.forecasts["CALF"], pred[:, i], rtol=1e-3, atol=1e-3)
        assert panel.bands == {}
    assert ylabel == "original units"
    assert "made_up.csv, test window 5 of 113" in title


def test_distances_are_those_of_the_table(inside, shown, tmp_path):
    draw(inside[0], tmp_path, "--figures", "distance")
    ((epochs, distances, best, _),) = shown["plot_distances"]
    table = pd.read_csv(inside[0] / "epochs.csv")
    assert epochs.tolist() == [1, 2]
    assert best == table["epoch"][table["best"] == 1].item()
    np.testing.assert_allclose(distances, table.filter(like="distance_"))


def test_attention_is_that_of_the_model(inside, shown, tmp_path):
    draw(inside[0], tmp_path, "--figures", "attention")
    ((attention, channels, _),) = shown["plot_attention"]
    assert (attention.shape, channels) == ((3, 12), ["HUFL", "HULL", "OT"])
    np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)

    args = Namespace(root_path=None, data_path=None, use_gpu=False)
    source = figures.Source.read(inside[0], args)
    module, windows = source.run.objective.model.in_layer, source.run.test_set
    words = module.word_embedding[None]
    total = torch.zeros(3, 12)
    with torch.no_grad():
        for number in range(len(windows)):  # all windows, as there are fewer than are averaged
            x = windows.batch(torch.tensor([number]))[0][0].T
            variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
            tokens = module.temporal_tokens((x - mean)[None] / (variance + 1e-5).sqrt())
            total += module.cross_attention(tokens, words, words)[1][0] / len(windows)
    np.testing.assert_allclose(attention, total, rtol=1e-3, atol=1e-6)


def test_what_a_model_lacks_is_left_out(inside, refuse, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(visualize, "FIGURES", visualize.FIGURES[1:])  # takes seconds
    draw(inside[1], tmp_path)
    out = capsys.readouterr().out
    assert "left out: attention: this GPT4TS has no attention to words" in out
    assert "left out: distance: " in out
    assert (tmp_path / "steps.png").exists()
    for figure in ("attention", "distance"):
        message = refuse("--checkpoint", str(inside[1]), "--figures", figure)
        assert message.startswith(f"error: {figure}: ")


def test_mistakes(inside, refuse, small_data, tmp_path):
    def of(path, *more):
        return refuse("--checkpoint", str(path), *more)

    assert "no such file" in of("nothing.safetensors")
    assert "no such file" in of(tmp_path)  # an empty folder
    state = {"model.weight": torch.zeros(2)}
    torch.save(state, tmp_path / "checkpoint.pth")
    assert "does not say how it was trained" in of(tmp_path / "checkpoint.pth")
    message = of(inside[0], "--data_path", "absent.csv")
    assert "absent.csv" in message
    message = of(inside[0], "--figures", "forecast", "--windows", "113")
    assert "test windows 0 to 112" in message
    table = pd.read_csv(small_data / "made_up.csv")
    table.rename(columns={"HUFL": "other"}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        data = ("--root_path", str(tmp_path), "--data_path", "other.csv", "--model", "DLinear")
        assert run(argv(TASK, small_data, *data, "--train_epochs", "1")) == 0
        assert run(argv("imputation", small_data, "--train_epochs", "1", "--model", "DLinear")) == 0
    other, imputation = (
        next((tmp_path / "results").glob(f"{task}*")) for task in (TASK, "imputation")
    )
    assert "of --task_name imputation" in of(imputation)
    assert "other test windows" in of(inside[0], "--against", str(other))
    assert "no language model" in of(other, "--figures", "tsne")
