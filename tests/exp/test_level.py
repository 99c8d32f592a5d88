"""`--level`: prediction intervals of a run."""

import json

import numpy as np
import pandas as pd
import pytest

from exp.forecaster import CALFForecaster
from run import main


@pytest.fixture
def run(workdir, command, results):
    """Runs a small training, and returns its folder of results."""

    def start(*more: str):
        assert main(command("--model", "DLinear", "--learning_rate", "0.01", *more)) == 0
        return results()

    return start


def test_scores_and_forecast(run, capsys):
    folder = run("--level", "50", "80", "--do_predict")
    record = json.loads((folder / "run.json").read_text())["intervals"]
    assert record["levels"] == [50, 80] and record["calibration_windows"] == 53
    pred, true = (np.load(folder / f"{name}.npy") for name in ("pred", "true"))
    out = capsys.readouterr().out
    for row in range(2):
        assert 0 < record["coverage"][row] < 1 and len(record["coverage_by_step"][row]) == 8
        assert f"cover {record['coverage'][row]:.1%}" in out
    assert record["width"][0] < record["width"][1]
    table = pd.read_csv(folder / "forecast.csv")
    assert [name for name in table if name.startswith("OT")] == [
        "OT", "OT-lo-50", "OT-hi-50", "OT-lo-80", "OT-hi-80"
    ]  # fmt: skip
    assert (table["OT-lo-80"] <= table["OT-lo-50"]).all()
    assert (table["OT-lo-50"] <= table["OT"]).all() and (table["OT"] <= table["OT-hi-50"]).all()
    assert pred.shape == true.shape
    assert list(folder.parent.parent.glob("test_results/*/forecast.pdf"))


def test_scores_need_no_files_of_predictions(run, capsys, workdir):
    """Whose size is said before the training."""
    folder = run("--level", "80")
    size = sum((folder / f"{name}.npy").stat().st_size - 128 for name in ("pred", "true")) / 1e6
    out = capsys.readouterr().out
    said = f"the test writes pred.npy, true.npy: {size:,.1f} MB (--no_save_predictions: none)"
    assert out.index(said) < out.index(">>> training")
    before = json.loads((folder / "run.json").read_text())
    plots = sorted(path.name for path in workdir.glob("test_results/*/*"))
    for path in (folder, *workdir.glob("test_results/*")):
        path.rename(workdir / f"before {path.parent.name}")
    folder = run("--level", "80", "--no_save_predictions", "--overwrite")
    assert not list(folder.glob("*pred*")) and "true.npy" not in capsys.readouterr().out
    assert sorted(path.name for path in workdir.glob("test_results/*/*")) == plots
    record = json.loads((folder / "run.json").read_text())
    assert (record["scores"], record["intervals"]) == (before["scores"], before["intervals"])


def test_original_units(run, workdir):
    """The same coverage, and widths as large as the values."""
    folder = run("--level", "80")
    scaled = json.loads((folder / "run.json").read_text())["intervals"]
    folder.rename(workdir / "scaled")
    record = json.loads((run("--level", "80", "--inverse") / "run.json").read_text())
    original = record["intervals"]
    assert original["original_units"] and not scaled["original_units"]
    assert original["coverage"] == pytest.approx(scaled["coverage"])
    assert original["width"] != pytest.approx(scaled["width"], rel=0.1)


@pytest.mark.parametrize("asked", [True, False])
def test_the_checkpoint_keeps_them(run, workdir, wide, asked, refused):
    """For a file that has too few rows to take them from."""
    run(*(("--level", "80") if asked else ()))
    (checkpoint,) = workdir.glob("checkpoints/*/checkpoint.safetensors")
    wide.tail(30).to_csv("few.csv", index=False)
    more = "--data_path few.csv --do_predict --level 80".split()
    if not asked:
        message = refused(["--checkpoint", str(checkpoint), *more])
        assert "no intervals beside the checkpoint" in message
        return
    assert main(["--checkpoint", str(checkpoint), *more]) == 0
    (forecast,) = workdir.glob("results/*few*/forecast.csv")
    found = CALFForecaster.load(checkpoint, verbose=False).predict(wide.tail(30), level=[80])
    expected = pd.read_csv(forecast)["OT-hi-80"]
    np.testing.assert_allclose(expected, found["OT-hi-80"], rtol=1e-4, atol=1e-4)
