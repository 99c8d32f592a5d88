"""Features M, MS and S, and `--inverse`, against the reference's runs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import exp.exp_long_term_forecasting as module
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from run import main, parse_args
from tests.parity.recordings import Recording, tiny_options
from utils.batch import Weight

RUNS = [f"{features}{inverse}" for features in ("M", "MS", "S") for inverse in ("", "_inverse")]


@pytest.fixture(scope="module")
def recorded(golden) -> dict:
    return json.loads((golden / "protocol" / "features_MS_inverse.json").read_text())


@pytest.fixture
def argv(recorded, golden, workdir):
    """The command line of a recorded run; it trains nothing."""
    csv = recorded["csv"]
    pd.DataFrame(csv["rows"], columns=csv["columns"]).to_csv("table.csv", index=False)
    torch.save(Recording(golden, "long_term_forecast").group("state"), "checkpoint.pth")

    def argv(run: str, *more: str) -> list[str]:
        features, _, inverse = run.partition("_")
        return [
            *"--task_name long_term_forecast --is_training 0 --model_id t --data custom".split(),
            *f"--root_path . --data_path table.csv --features {features}".split(),
            *"--seq_len 24 --label_len 0 --pred_len 12 --batch_size 8".split(),
            *tiny_options(golden / "tiny"), *("--checkpoint", "checkpoint.pth"),
            *(["--inverse"] if inverse else []), *more,
        ]  # fmt: skip

    return argv


@pytest.mark.parametrize("run", RUNS)
def test_published_run(argv, recorded, run, results, monkeypatch):
    theirs = recorded["runs"][run]
    figures = []
    monkeypatch.setattr(module, "plot_window", lambda *figure: figures.append(figure))
    assert main(argv(run, "--protocol", "published")) == 0
    pred, true, metrics = (np.load(results() / f"{n}.npy") for n in ("pred", "true", "metrics"))
    assert list(pred.shape) == theirs["pred_shape"]
    assert list(true.shape) == theirs["true_shape"]
    np.testing.assert_allclose(metrics, theirs["metrics_npy"], rtol=1e-4)
    window = theirs["first_window"]
    for name, array in (("pred", pred), ("true", true)):
        for row, index in (("first", 0), ("last", -1)):
            np.testing.assert_allclose(array[0, index], window[f"{name}_{row}_row"], atol=2e-5)
    _, _, (panel,), _ = figures[0]
    figure = theirs["figure_of_window_0"]
    np.testing.assert_allclose(panel.history[:3], figure["history_last_channel_first3"], atol=1e-5)
    np.testing.assert_allclose(panel.true[:3], figure["true_part_first3"], atol=1e-5)
    np.testing.assert_allclose(panel.forecasts["CALF"][:3], figure["pred_part_first3"], atol=2e-5)


@pytest.mark.parametrize("protocol", ["published", "sound"])
@pytest.mark.parametrize("run", ["M", "MS", "S"])
def test_training_loss(argv, recorded, run, protocol):
    theirs = recorded["runs"][run]["train_loss_first_batch"]
    experiment = ExpLongTermForecasting(parse_args(argv(run, "--protocol", protocol)))
    batch = experiment.windows_batch(experiment.splits.split("train"), torch.arange(8))
    experiment.objective.model.eval()
    losses = experiment.objective.losses(batch, Weight())
    task = theirs["task_part_l1_over_all_channels"]
    if (run, protocol) == ("MS", "sound"):
        task = theirs["l1_over_the_last_channel_only"]
    assert losses["task"].item() == pytest.approx(task, rel=1e-5)
    if (run, protocol) != ("MS", "sound"):
        assert losses["total"].item() == pytest.approx(theirs["total_loss"], rel=1e-5)


def test_sound_scores_of_one_channel(argv, recorded, results):
    """MS scores the target, whose errors the recording of all channels has too."""
    theirs = recorded["runs"]["MS"]
    assert main(argv("MS")) == 0
    expected = theirs["metrics_last_channel_only"]
    np.testing.assert_allclose(np.load(results() / "metrics.npy"), expected, rtol=1e-4)


def test_sound_results_in_original_units(argv, recorded, results):
    theirs = recorded["runs"]["M_inverse"]
    assert main(argv("M_inverse")) == 0
    scale, mean = np.array(theirs["scaler_scale"]), np.array(theirs["scaler_mean"])
    for name in ("pred", "true"):
        array = np.load(results() / f"{name}.npy")
        expected = np.array(theirs["first_window"][f"{name}_first_row"]) * scale + mean
        np.testing.assert_allclose(array[0, 0], expected, rtol=1e-4)
