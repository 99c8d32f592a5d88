"""`--refit`: the model that forecasts has seen all rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from exp.exp_long_term_forecasting import ExpLongTermForecasting
from exp.forecast import main as forecast_main
from exp.intervals import INTERVALS, PROBABILITIES, Intervals
from run import main
from tests.exp.small_runs import Killed, argv
from utils.checkpoint import read_checkpoint
from utils.results import REFIT

LONG = "long_term_forecast"
VALIDATION = "exp.exp_long_term_forecasting.ExpLongTermForecasting.validation_score"
ROWS, WINDOW = 600, 24 + 8


def line(data: Path, *more: str) -> list[str]:
    return argv(LONG, data, "--model", "DLinear", *more)


def of_folder(folder: Path) -> dict:
    """What a run has left: `run.json`, forecast, both checkpoints."""
    (results,) = (folder / "results").iterdir()
    (refit,) = folder.glob("checkpoints/*/checkpoint.refit.safetensors")
    return {
        "record": json.loads((results / "run.json").read_text()),
        "forecast": pd.read_csv(results / "forecast.csv"),
        "first": read_checkpoint(refit.with_name("checkpoint.safetensors")),
        "refit": read_checkpoint(refit),
    }


@pytest.fixture(scope="module")
def refitted(small_data, tmp_path_factory) -> dict:
    """A run whose second epoch of three is the best one."""
    folder = tmp_path_factory.mktemp("refit")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(VALIDATION, lambda self: [3.0, 1.0, 2.0][self.progress.epoch - 1])
        assert main(line(small_data, "--refit")) == 0
    return of_folder(folder) | {"folder": folder}


def test_epochs_rows_and_scaling(refitted, small_data):
    notes = refitted["refit"].metadata
    assert len(notes["epochs"]) == 2
    assert {epoch["validation"] for epoch in notes["epochs"]} == {None}
    table = pd.read_csv(small_data / "made_up.csv")[notes["columns"]]
    expected = StandardScaler().fit(table.to_numpy())
    np.testing.assert_allclose(notes["scaler"]["mean"], expected.mean_, rtol=1e-12)
    np.testing.assert_allclose(notes["scaler"]["scale"], expected.scale_, rtol=1e-12)
    assert refitted["first"].metadata["scaler"] != notes["scaler"]
    assert "NaN" not in json.dumps(notes)


def test_the_record(refitted, small_data, workdir, monkeypatch):
    record = refitted["record"]
    monkeypatch.setattr(VALIDATION, lambda self: [3.0, 1.0, 2.0][self.progress.epoch - 1])
    assert main(line(small_data)) == 0
    (path,) = Path("results").glob("*/run.json")
    assert record["scores"] == json.loads(path.read_text())["scores"]
    assert record["refit"]["checkpoint"].endswith("checkpoint.refit.safetensors")
    assert [epoch["epoch"] for epoch in record["refit"]["epochs"]] == [1, 2]
    assert record["best_epoch"]["epoch"] == 2
    assert list(Path("checkpoints").glob(f"*/*{REFIT}*")) == []


def test_the_forecast_is_that_of_the_refit(refitted, workdir, monkeypatch, capsys):
    for name in ("refit", "first"):
        path = refitted[name].path
        assert main(["--checkpoint", str(path), "--do_predict"]) == 0
        (found,) = Path("results").glob("*/forecast.csv")
        same = pd.read_csv(found).equals(refitted["forecast"])
        assert same == (name == "refit")
        assert ("trained on all rows" in capsys.readouterr().err) == (name == "refit")
        found.unlink()


def test_intervals_are_in_the_units_of_the_refit(small_data, workdir, wide):
    """Their least spread is one of the first training's standardised values."""
    path = "growing.csv"  # whose later rows vary more, so that scalers differ
    wide.iloc[-ROWS // 4 :, 1:] *= 3
    wide.to_csv(path, index=False)
    more = ("--root_path", ".", "--data_path", path, "--refit", "--level", "80")
    assert main(line(small_data, *more, "--train_epochs", "1")) == 0
    found = of_folder(workdir)
    intervals = Intervals.load(found["refit"].path.with_name(INTERVALS))
    columns = found["refit"].metadata["columns"]
    units = [np.array(found[name].metadata["scaler"]["scale"]) for name in ("first", "refit")]
    assert (units[1] > 1.2 * units[0]).all()
    rows = pd.read_csv(path)[columns].to_numpy()[-(WINDOW - 8) :]
    spread = rows.std(axis=0) + intervals.least.numpy() * units[0]
    below, above = (intervals.quantiles[PROBABILITIES.index(p)].numpy() for p in (0.1, 0.9))
    table = found["forecast"]
    for number, name in enumerate(columns):
        for bound, errors in (("lo", below), ("hi", above)):
            expected = table[name] + errors[:, number] * spread[number]
            limit = np.minimum if bound == "lo" else np.maximum
            expected = limit(expected, table[name])
            np.testing.assert_allclose(table[f"{name}-{bound}-80"], expected, rtol=1e-4, atol=1e-4)
    forecast = ["--input", path, "--output", "again.csv", "--level", "80"]
    assert forecast_main(["--checkpoint", str(found["refit"].path), *forecast]) == 0
    again = pd.read_csv("again.csv")
    np.testing.assert_allclose(again["OT-hi-80"], table["OT-hi-80"], rtol=1e-4)


@pytest.mark.parametrize("refit", [False, True])
def test_killed_and_resumed(refitted, small_data, workdir, monkeypatch, capsys, refit):
    """In the third epoch of the first training, or in the second one of the refit."""
    plain = ExpLongTermForecasting.train_step
    monkeypatch.setattr(VALIDATION, lambda self: [3.0, 1.0, 2.0][self.progress.epoch - 1])
    command = line(small_data, "--refit", "--save_every", "5")

    def step(self, number, index):
        of_refit = self.memory is not None
        if (of_refit, self.progress.epoch, number) == (refit, 2 if refit else 3, 7):
            raise Killed
        plain(self, number, index)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExpLongTermForecasting, "train_step", step)
        main(command)
    assert main(command) == 2
    assert ("its refit" if refit else "epoch 3 of 3") in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().out
    assert f"epoch {2 if refit else 3}, after step 5" in said
    assert "refit on all rows of" in said and "for 2 epochs, as validation chose" in said
    assert f"windows: {ROWS - WINDOW + 1} train, 0 validation" in said
    assert ("training was finished" in said) == refit
    found = of_folder(workdir)
    assert found["forecast"].equals(refitted["forecast"])
    for name in ("first", "refit"):
        expected = refitted[name].state
        assert all(value.equal(expected[key]) for key, value in found[name].state.items())


@pytest.mark.parametrize(
    "more", ["--is_training 0", "--percent 10", "--zero_shot 1", "--task_name imputation"]
)
def test_refused(small_data, refused, more):
    assert "--refit" in refused(line(small_data, "--refit", *more.split()))


def test_a_naive_model_has_nothing_to_refit(small_data, workdir):
    assert main(argv(LONG, small_data, "--model", "LastValue", "--refit")) == 0
    assert len(list(Path("results").glob("*/forecast.csv"))) == 1
