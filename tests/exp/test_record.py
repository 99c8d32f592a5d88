"""What `run.json` tells of a run, beside its scores."""

import hashlib
import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from run import EXPERIMENTS, main
from tests.conftest import load
from tests.exp.small_runs import argv
from utils import record
from utils.record import commit

READ = {
    "long_term_forecast": ["made_up.csv"],
    "imputation": ["made_up.csv"],
    "short_term_forecast": ["Train/Weekly-train.csv", "Test/Weekly-test.csv"],
    "classification": ["Waves_TRAIN.ts", "Waves_TEST.ts"],
    "anomaly_detection": ["MSL_train.npy", "MSL_test.npy", "MSL_test_label.npy"],
}
UNITS = {"short_term_forecast": "series", "classification": "samples", "anomaly_detection": "rows"}


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("task", EXPERIMENTS)
def test_every_task(small_data, workdir, results, task):
    given = argv(task, small_data, "--train_epochs", "1", "--model", "DLinear", "--des", "it's")
    assert main(given) == 0
    found = record_of(results())
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
    columns = set(pd.read_csv(results() / "epochs.csv"))
    assert {f"validation_{score}", f"test_{score}", "gradient_norm"} <= columns


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("long_term_forecast", ("--features", "S")),
        ("long_term_forecast", ("--features", "MS")),
        ("long_term_forecast", ("--inverse",)),
        ("imputation", ()),
    ],
)
def test_errors_by_step_and_channel(small_data, workdir, results, task, more):
    """Those of the arrays, whose mean is the score."""
    given = argv(task, small_data, "--model", "DLinear", "--train_epochs", "1", *more)
    assert main(given) == 0
    pred, true = (load(results() / f"{name}.npy") for name in ("pred", "true"))
    error = (pred - true).astype(np.float64)
    if task == "imputation":
        error[load(results() / "mask.npy") > 0] = np.nan
    found = record_of(results())
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


def test_m4_errors_by_step(small_data, workdir, results):
    brief = ("--train_epochs", "1", "--model", "DLinear")
    assert main(argv("short_term_forecast", small_data, *brief)) == 0
    found = record_of(results())
    smape = found["errors"]["by_step"]["smape"]
    assert np.mean(smape) == pytest.approx(found["scores"]["smape"])
    pred = pd.read_csv("m4_results/DLinear/Weekly_forecast.csv").to_numpy()[:, 1:].astype(float)
    true = pd.read_csv(small_data / "Test" / "Weekly-test.csv").to_numpy()[:, 1:].astype(float)
    by_hand = 200 * (np.abs(pred - true) / (np.abs(pred) + np.abs(true))).mean(0)
    np.testing.assert_allclose(smape, by_hand)


@pytest.fixture
def code(tmp_path, monkeypatch) -> Path:
    """A folder with a run.py, in place of that of the code."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
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


@pytest.mark.parametrize("model", ["CALF", "GPT4TS"])
def test_whose_weights(small_data, workdir, capsys, newest, model):
    given = argv("long_term_forecast", small_data, "--model", model, "--train_epochs", "1")
    assert main([*given, "--llm_weights", "random"]) == 0
    assert "file" not in record_of(newest())["backbone"]

    llm = small_data / "gpt2"
    assert main(given) == 0
    file = record_of(newest())["backbone"]["file"]
    content = (llm / "model.safetensors").read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["is_published_gpt2"] is False
    assert f"--llm {llm}: not the published file of GPT-2" in capsys.readouterr().out
