"""Every model trains, resumes, runs in several processes and forecasts in the same loop."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from exp.exp_basic import ExpBasic
from models.registry import objective_class, options_of
from run import EXPERIMENTS, main
from tests.conftest import MODELS, without
from tests.exp.small_runs import all_of, argv, built, differ, once_at, send
from utils.interrupts import Interrupted

LONG = "long_term_forecast"
TRAINED = [name for name in MODELS if objective_class(name).trained]
SIZES = {
    "d_model": 8, "n_heads": 2, "e_layers": 1, "d_ff": 16, "top_k": 5, "num_kernels": 2,
    "patch_len": 8, "stride": 4, "season_length": 6,
}  # fmt: skip


def command(task: str, data: Path, model: str, *more: str) -> list[str]:
    """The command line of a small training, with the sizes that the model uses."""
    sizes = {} if "llm" in options_of(model) else SIZES
    given = [f"--{name}={value}" for name, value in sizes.items() if name in options_of(model)]
    label_len = ("--label_len", "4") if "forecast" in task else ()
    return argv(task, data, "--model", model, *label_len, *given, *more)


def build(*given: str) -> ExpBasic:
    return built(command(*given))


@pytest.mark.parametrize("task", EXPERIMENTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_task(small_data, workdir, refused, results, model, task):
    """Forecasting in half precision, of which scores and files are float32."""
    more = ("--amp", "bf16") if "forecast" in task else ()
    given = command(task, small_data, model, "--train_epochs", "1", *more)
    if model not in TRAINED and "forecast" not in task:
        assert f"{model} does not support --task_name {task}" in refused(given)
        return
    assert main(given) == 0
    record = json.loads((results() / "run.json").read_text())
    assert all(np.isfinite(value) for value in record["scores"].values())
    assert record["parameters"]["trained"] > 0 or model not in TRAINED
    assert len(record["epochs"]) == (model in TRAINED)


@pytest.mark.parametrize("model", [name for name in TRAINED if name != "DLinear"])
def test_interrupted_and_resumed(small_data, tmp_path, monkeypatch, model):
    """To the same bytes: parameters, buffers, moments; DLinear in `test_resume.py`."""
    for name in ("undisturbed", "stopped"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "undisturbed")
    expected = all_of(build(LONG, small_data, model))
    monkeypatch.chdir(tmp_path / "stopped")
    once_at(monkeypatch, "train_step", 2, send(signal.SIGINT), step=2)
    with pytest.raises(Interrupted):
        build(LONG, small_data, model).train()
    assert differ(all_of(build(LONG, small_data, model, "--resume")), expected) == []


def test_a_checkpoint_of_another_model(small_data, workdir, refused):
    assert main(command(LONG, small_data, "PatchTST", "--train_epochs", "1")) == 0
    (path,) = workdir.glob("checkpoints/*/checkpoint.safetensors")
    given = command(LONG, small_data, "DLinear", "--is_training", "0", "--checkpoint", str(path))
    assert "was trained with --model PatchTST:" in refused(given)
    save_file(load_file(path), "bare.safetensors")
    given[-1] = "bare.safetensors"
    assert "does not fit" in refused(given)


@pytest.mark.parametrize("model", MODELS)
def test_fast_modules_change_nothing_but_rounding(small_data, workdir, model):
    runs = [
        build(LONG, small_data, model, "--fast_cpu", fast, "--des", fast)
        for fast in ("auto", "off")
    ]
    scores = [run.test_score() for run in runs]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    states = [run.objective.saved_state() for run in runs]
    assert states[0].keys() == states[1].keys()


def test_the_season_comes_from_the_timestamps(small_data, workdir):
    more = ("SeasonalNaive", "--season_length", "0")
    assert build(LONG, small_data, *more).objective.model.season_length == 24
    assert build("short_term_forecast", small_data, *more).objective.model.season_length == 1


def test_the_usual_loss_of_a_task(small_data, workdir):
    usual = {LONG: "mse", "imputation": "mse", "classification": "ce"}
    for task, loss in (usual | {"short_term_forecast": "smape"}).items():
        line = command(task, small_data, "DLinear")
        assert built(without(line, "--task_loss")).args.task_loss == loss
