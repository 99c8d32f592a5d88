"""What a run leaves to read, beside its scores: `run.json`, `epochs.csv`, TensorBoard's files."""

import hashlib
import json
import shlex
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from exp.exp_basic import ExpBasic
from exp.record import Tracker, commit
from exp.step import TrainStep
from run import EXPERIMENTS, main
from tests.conftest import load
from tests.exp.small_runs import STEPS, argv, differ, experiment, left, once_at, send
from utils.checkpoint import read_checkpoint
from utils.interrupts import Interrupted

READ = {
    "long_term_forecast": ["made_up.csv"],
    "imputation": ["made_up.csv"],
    "short_term_forecast": ["Train/Weekly-train.csv", "Test/Weekly-test.csv"],
    "classification": ["Waves_TRAIN.ts", "Waves_TEST.ts"],
    "anomaly_detection": ["MSL_train.npy", "MSL_test.npy", "MSL_test_label.npy"],
}
UNITS = {"short_term_forecast": "series", "classification": "samples", "anomaly_detection": "rows"}


@pytest.mark.parametrize("task", EXPERIMENTS)
def test_every_task(small_data, workdir, results, record, task):
    given = argv(task, small_data, "--train_epochs", "1", "--model", "DLinear", "--des", "it's")
    assert main(given) == 0
    found = record()
    assert (found["task"], found["model"]) == (task, "DLinear")
    assert shlex.split(found["command"]) == ["python", "run.py", *given]
    contents = {str(small_data / name): (small_data / name).read_bytes() for name in READ[task]}
    assert found["data"] == {
        path: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for path, content in contents.items()
    }
    test = found["test"]
    assert test["windows"] == test[UNITS.get(task, "windows")] > 20
    assert test["seconds"] > 0
    memory = found["peak_memory_mb"]
    assert 100 < memory["host"] < 1e5
    assert memory["device"] is None
    assert ("errors" in found) == (task not in ("classification", "anomaly_detection"))
    score = {"short_term_forecast": "smape", "classification": "accuracy"}.get(task, "mse")
    epochs = pd.read_csv(results() / "epochs.csv")
    assert epochs[[f"validation_{score}", f"test_{score}", "gradient_norm"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("long_term_forecast", ("--features", "S")),
        ("long_term_forecast", ("--features", "MS")),
        ("long_term_forecast", ("--inverse",)),
        ("imputation", ()),
    ],
)
def test_errors_by_step_and_channel(small_data, workdir, results, record, task, more):
    """Those of the arrays, whose mean is the score."""
    given = argv(task, small_data, "--model", "DLinear", "--train_epochs", "1", *more)
    assert main(given) == 0
    pred, true = (load(results() / f"{name}.npy") for name in ("pred", "true"))
    error = (pred - true).astype(np.float64)
    if task == "imputation":
        error[load(results() / "mask.npy") > 0] = np.nan
    found = record()
    errors = found["errors"]
    channels = ["HUFL", "HULL", "OT"] if pred.shape[2] == 3 else ["OT"]
    assert list(errors["by_channel"]) == channels
    for name, values in {"mse": error**2, "mae": np.abs(error)}.items():
        by_step, by_channel = np.nanmean(values, axis=(0, 2)), np.nanmean(values, axis=(0, 1))
        np.testing.assert_allclose(errors["by_step"][name], by_step, rtol=1e-12)
        found_by_channel = [by[name] for by in errors["by_channel"].values()]
        np.testing.assert_allclose(found_by_channel, by_channel, rtol=1e-12)
        assert np.nanmean(values) == pytest.approx(found["scores"][name], rel=1e-6)
        if task == "long_term_forecast":
            assert np.mean(errors["by_step"][name]) == pytest.approx(found["scores"][name])


def test_m4_errors_by_step(small_data, workdir, record):
    brief = ("--train_epochs", "1", "--model", "DLinear")
    assert main(argv("short_term_forecast", small_data, *brief)) == 0
    found = record()
    smape = found["errors"]["by_step"]["smape"]
    assert np.mean(smape) == pytest.approx(found["scores"]["smape"])
    pred = pd.read_csv("m4_results/DLinear/Weekly_forecast.csv").to_numpy()[:, 1:].astype(float)
    true = pd.read_csv(small_data / "Test" / "Weekly-test.csv").to_numpy()[:, 1:].astype(float)
    by_hand = 200 * (np.abs(pred - true) / (np.abs(pred) + np.abs(true))).mean(0)
    np.testing.assert_allclose(smape, by_hand)


@pytest.fixture
def code(tmp_path, monkeypatch) -> Path:
    """A folder with a run.py, in place of that of the code."""
    monkeypatch.setattr("exp.record.ROOT", tmp_path)
    (tmp_path / "run.py").write_text("pass\n")
    yield tmp_path
    commit.cache_clear()


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_of_the_code(code, monkeypatch, capfd):
    def commit_now() -> str | None:
        commit.cache_clear()
        return commit()

    assert commit_now() is None  # no repository
    git(code, "init")
    git(code, "commit", "--allow-empty", "-m", "one")
    assert commit_now() is None  # the code is no part of this repository
    git(code, "add", "run.py")
    git(code, "commit", "-m", "two")
    (code / "results.txt").write_text("results\n")
    head = git(code, "rev-parse", "HEAD")
    assert commit_now() == head
    (code / "run.py").write_text("changed\n")
    assert commit_now() == head + "+changes"
    monkeypatch.setenv("PATH", "")
    assert commit_now() is None  # no git
    assert capfd.readouterr() == ("", "")


def test_whose_weights(small_data, workdir, capsys, record):
    given = argv("long_term_forecast", small_data, "--train_epochs", "1")
    assert main([*given, "--llm_weights", "random"]) == 0
    assert "file" not in record()["backbone"]

    llm = small_data / "gpt2"
    assert main(given) == 0
    file = record()["backbone"]["file"]
    content = (llm / "model.safetensors").read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["is_published_gpt2"] is False
    assert f"--llm {llm}: not the published file of GPT-2" in capsys.readouterr().out


TASK = "long_term_forecast"
BRIEF = ("--train_epochs", "1")
COLUMNS = [
    *"epoch train_loss task_loss output_loss feature_loss validation_mse test_mse".split(),
    *"learning_rate gradient_norm seconds windows_per_second peak_memory_mb".split(),
    *"distance_0 distance_1 distance_2 best".split(),
]
REPEATED = [n for n in COLUMNS if n not in ("seconds", "windows_per_second", "peak_memory_mb")]


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "epochs.csv")


def test_every_epoch_has_a_row(workdir, small_data, results, monkeypatch):
    seen = []

    def write(self, progress, plain=Tracker.write):
        plain(self, progress)
        seen.append(len(table(self.folders.results)))

    monkeypatch.setattr(Tracker, "write", write)
    assert main(argv(TASK, small_data)) == 0
    assert seen == [1, 2, 3]
    found, record = table(results()), json.loads((results() / "run.json").read_text())
    assert list(found) == COLUMNS
    assert found["epoch"].tolist() == [1, 2, 3]
    for name, column in (("train", "train_loss"), ("validation", "validation_mse")):
        assert found[column].tolist() == [epoch[name] for epoch in record["epochs"]]
    parts = found[["task_loss", "output_loss", "feature_loss"]].sum(axis=1)
    np.testing.assert_allclose(parts, found["train_loss"], rtol=1e-5)
    assert found.loc[found["best"] == 1, "epoch"].tolist() == [record["best_epoch"]["epoch"]]
    assert found["best"].sum() == 1
    # training without validation takes less than the whole epoch
    assert (found["windows_per_second"] * found["seconds"] > 32 * STEPS).all()
    assert found["peak_memory_mb"].between(50, 1e6).all()
    assert not list(results().glob(".*.part"))


@pytest.mark.parametrize("more", [(), ("--accumulate", "2")], ids=["one batch", "accumulated"])
def test_the_gradient_norm_is_the_mean_over_the_steps(workdir, small_data, monkeypatch, more):
    norms = []

    def gradients(self, *given, plain=TrainStep.gradients):
        losses = plain(self, *given)
        trained = [p.grad for p in self.objective.model.parameters() if p.grad is not None]
        norms.append(sum(float(g.double().square().sum()) for g in trained) ** 0.5)
        return losses

    monkeypatch.setattr(TrainStep, "gradients", gradients)
    run = experiment(TASK, small_data, *BRIEF, "--model", "DLinear", *more)
    run.train()
    assert len(norms) == len(run.order(1))
    found = table(run.folders.results)["gradient_norm"]
    np.testing.assert_allclose(found, [np.mean(norms)], rtol=1e-5)


def test_the_distance_is_the_feature_loss_by_layer(workdir, small_data):
    run = experiment(TASK, small_data, *BRIEF, "--feature_loss", "mse")
    run.train()
    last = table(run.folders.results)
    run.load(read_checkpoint(run.folders.best_checkpoint))
    row = last[last["best"] == 1].iloc[0]
    index = torch.tensor([0])  # of 389 training windows one in 200
    run.objective.model.eval()
    with torch.no_grad():
        out = run.objective.model.branches(
            run.train_set.batch(index)[0], text_branch=True, features=True
        )
    for i, (time, text) in enumerate(zip(out.features_time, out.features_text, strict=True)):
        assert row[f"distance_{i}"] == pytest.approx(((time - text) ** 2).mean().item(), rel=1e-5)


def test_nothing_that_is_watched_changes_the_training(workdir, small_data, monkeypatch):
    watched = experiment("imputation", small_data, *BRIEF, "--tensorboard")
    watched.train()
    with_it = left(watched)
    assert {"validation_mse", "test_mse", "distance_2"} <= set(table(watched.folders.results))
    monkeypatch.setattr(ExpBasic, "diagnostics", lambda self: {})
    plain = experiment("imputation", small_data, *BRIEF, "--overwrite", "--checkpoints", "plain")
    plain.train()
    without = left(plain)
    assert with_it.pop("progress") != without.pop("progress")  # which lacks the diagnostics
    assert with_it == without


def test_the_test_split_changes_no_training(workdir, small_data):
    """Without its scores in between the model, its epochs and its final score are the same."""
    records, models = [], []
    for more in ((), ("--no_epoch_test", "--overwrite", "--checkpoints", "other")):
        run = experiment(TASK, small_data, "--model", "DLinear", *more)
        run.train()
        run.test()
        records.append(json.loads((run.folders.results / "run.json").read_text()))
        models.append(left(run))
    first, second = records
    assert first["scores"] == second["scores"]
    assert [epoch["test"] is None for epoch in first["epochs"]] == [False] * 3
    assert [epoch["test"] is None for epoch in second["epochs"]] == [True] * 3
    assert set(differ(*models)) == {"progress"}  # which has the scores


def interrupted(data: Path, epoch: int, step: int, *more: str) -> ExpBasic:
    run = experiment(TASK, data, *more)
    with pytest.MonkeyPatch.context() as patch:
        once_at(patch, "train_step", epoch, send(signal.SIGTERM), step)
        with pytest.raises(Interrupted), run.folders.claim():
            run.train()
    return run


@pytest.mark.parametrize("step", [1, STEPS])
def test_a_resumed_run_keeps_its_rows(workdir, small_data, capsys, step):
    whole = experiment(TASK, small_data, "--checkpoints", "whole")
    whole.train()
    expected = table(whole.folders.results)
    stopped = interrupted(small_data, 2, step, "--overwrite")
    assert table(stopped.folders.results)["epoch"].tolist() == [1]
    capsys.readouterr()
    resumed = experiment(TASK, small_data, "--resume")
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        look = lambda: rows.append(len(table(resumed.folders.results)))  # noqa: E731
        once_at(patch, "epoch_scores", 2, look)
        with resumed.folders.claim():
            resumed.train()
    assert rows == [1]  # from the start on
    assert "has results of an earlier run" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(table(resumed.folders.results)[REPEATED], expected[REPEATED])


def test_a_fresh_start_removes_the_rows_of_an_earlier_run(workdir, small_data):
    interrupted(small_data, 2, 3, "--tensorboard")
    again = interrupted(small_data, 1, 3, "--overwrite")
    assert not (again.folders.results / "epochs.csv").exists()
    assert not list(again.folders.results.glob("tensorboard/*"))


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_tensorboard_has_what_the_table_has(workdir, small_data):
    interrupted(small_data, 2, 3)  # without --tensorboard: its epoch is written nevertheless
    run = experiment(TASK, small_data, "--resume", "--tensorboard")
    run.train()
    found, rows = scalars(run.folders.results), table(run.folders.results)
    columns = {name.replace("/", "_"): name for name in found}
    columns |= {f"{part}_loss": f"loss/{part}" for part in ("train", "task", "output", "feature")}
    for column in set(COLUMNS) - {"epoch", "best"}:
        steps, values = zip(*found.pop(columns[column]), strict=True)
        assert steps == (1, 2, 3)
        np.testing.assert_allclose(values, rows[column], rtol=1e-6)
    assert not found


def test_tensorboard_that_can_not_be(refused, small_data, monkeypatch):
    assert "--tensorboard" in refused(argv(TASK, small_data, "--tensorboard", "--is_training", "0"))
    monkeypatch.setattr("exp.record.find_spec", lambda name: None)
    assert "pip install tensorboard" in refused(argv(TASK, small_data, "--tensorboard"))
    assert not Path("checkpoints").exists()
