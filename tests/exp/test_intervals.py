"""Prediction intervals against NumPy, scikit-learn, and data whose distribution is known; and those
of a run, by `--level`."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from exp.forecaster import CALFForecaster
from exp.intervals import (
    PROBABILITIES,
    Intervals,
    IntervalTest,
    LookBacks,
    Recalibration,
    check_levels,
    pinball,
    quantiles,
    tails,
    windows_needed,
)
from run import main
from utils.errors import UserError


def windows(count: int, seed: int = 0, channels: int = 2) -> tuple[torch.Tensor, ...]:
    """Look-backs of different spread, forecasts, and truths with errors in proportion to it."""
    draw = torch.Generator().manual_seed(seed)
    scale = torch.rand(count, 1, channels, generator=draw) + 0.5
    x = scale * torch.randn(count, 48, channels, generator=draw)
    pred = torch.randn(count, 6, channels, generator=draw)
    steps = torch.arange(1, 7)[:, None]
    true = pred + scale * steps * torch.randn(count, 6, channels, generator=draw)
    return x, pred, true


@pytest.mark.parametrize("count", [9, 19, 200])
def test_quantiles_are_conformal(count):
    errors = np.random.default_rng(3).normal(size=count)
    found = quantiles(torch.tensor(errors)).numpy()
    # NumPy's quantile at p' of n values with these methods is that of rank ceil or floor (n-1)p'
    for p, value in zip(PROBABILITIES, found, strict=True):
        below = (errors <= value).sum() if p > 0.5 else (errors < value).sum()
        if 1 <= p * (count + 1) <= count:
            assert below == (np.ceil((count + 1) * p - 1e-9) if p > 0.5
                             else np.floor((count + 1) * p + 1e-9) - 1)  # fmt: skip
        else:
            assert value in (errors.min(), errors.max())


@pytest.mark.parametrize("level", [50, 80, 95])
def test_coverage_of_exchangeable_windows(level):
    found, _ = Intervals.calibrate([windows(1500)])
    x, pred, true = windows(1500, seed=1)
    lower, upper = found.bounds(pred, LookBacks.of(x), level)
    covered = ((true >= lower) & (true <= upper)).float().mean(dim=(0, 2)) * 100
    assert covered.sub(level).abs().max() < 4  # at every step, whose errors grow
    narrow, wide = x.std(1) < 0.8, x.std(1) > 1.2
    width = (upper - lower)[:, 0]
    assert width[wide].mean() > 1.4 * width[narrow].mean()  # follows the look-back's spread


@pytest.mark.parametrize("panel", ["channels", "pooled"])
def test_intermittent_series(panel, capsys):
    """Of two hundred values four are not 0: the intervals cover, and are no wider than the values;
    those of a series without such rest are named in no warning."""
    draw = np.random.default_rng(0)
    values = (draw.random((700, 10)) < 0.02) * draw.integers(1, 10, (700, 10))
    names = [f"shop {number}" for number in range(10)]
    table = pd.DataFrame(values.astype(float), columns=names)
    table.insert(0, "ds", pd.date_range("2020-01-01", periods=700))
    table["steady"] = draw.normal(size=700)
    forecaster = CALFForecaster(
        h=7, input_size=42, model="DLinear", level=[80, 95], panel=panel, train_epochs=1,
        verbose=False, use_gpu=False,
    ).fit(table.iloc[:500])  # fmt: skip
    assert capsys.readouterr().err == ""
    cutoffs = range(500, 693, 7)
    forecasts = [forecaster.predict(table.iloc[:row]) for row in cutoffs]
    true = np.stack([values[row : row + 7] for row in cutoffs])
    for level in (80, 95):
        lower, upper = (
            np.stack([one[[f"{name}-{end}-{level}" for name in names]] for one in forecasts])
            for end in ("lo", "hi")
        )
        assert ((lower <= true) & (true <= upper)).mean() > level / 100
        assert upper.max() < 15 and lower.min() > -15
    warning = capsys.readouterr().err.splitlines()[0]
    assert "shop 0" in warning
    assert "steady" not in warning and "may cover more than their level" in warning


def test_other_probabilities_are_between():
    found, _ = Intervals.calibrate([windows(300)])
    x, pred, _ = windows(5, seed=2)
    looks = LookBacks.of(x)
    order = [
        found.quantile(pred, looks, p) for p in (0.001, 0.1, 0.12, 0.15, 0.5, 0.77, 0.8, 0.999)
    ]
    assert all((after >= before).all() for before, after in pairwise(order))
    low, high = found.quantiles[4:6]  # 0.1 and 0.15
    for p, error in ((0.1, low), (0.12, 0.6 * low + 0.4 * high)):
        expected = pred + error * looks.scale(found.least)
        torch.testing.assert_close(found.quantile(pred, looks, p), expected)
    assert tails(80) == pytest.approx((0.1, 0.9))


def test_scores():
    x, pred, true = windows(300, seed=4)
    scores = IntervalTest([80, 95], [windows(200)], None, 6, lambda values, _: values)
    for part in range(0, 300, 70):
        rows = torch.arange(300)[part : part + 70]
        scores.add(pred[rows], x[rows], true[rows], rows)
    results, looks = scores.results(), LookBacks.of(x)
    for row, level in enumerate((80, 95)):
        lower, upper = map(torch.Tensor.numpy, scores.intervals.bounds(pred, looks, level))
        y, (below, above) = true.numpy(), tails(level)
        assert results["coverage"][row] == pytest.approx(((y >= lower) & (y <= upper)).mean())
        assert results["width"][row] == pytest.approx((upper - lower).mean(), rel=1e-5)
        expected = [
            mean_pinball_loss(y.ravel(), lower.ravel(), alpha=below),
            mean_pinball_loss(y.ravel(), upper.ravel(), alpha=above),
        ]
        assert results["pinball"][row] == pytest.approx(np.mean(expected), rel=1e-5)
        by_step = ((y >= lower) & (y <= upper)).mean(axis=(0, 2))
        np.testing.assert_allclose(results["coverage_by_step"][row], by_step)
    assert pinball(torch.tensor([2.0, -2.0]), 0.9).tolist() == pytest.approx([1.8, 0.2])


def test_recalibration_follows_a_drift():
    x, pred, true = windows(400)
    first, errors = Intervals.calibrate([(x, pred, true)])
    live = Recalibration(first, errors)
    assert torch.equal(live.intervals().quantiles, first.quantiles)
    live.add(5 * errors[:3])  # steps of the last one reach beyond the next window's beginning
    assert torch.equal(live.errors, errors)
    live.add(5 * errors[3:])
    assert len(live.waiting) == 5 and torch.equal(live.errors[-395:], 5 * errors[:395])
    live.add(5 * errors[:5])
    torch.testing.assert_close(live.intervals().quantiles, 5 * first.quantiles, rtol=0.2, atol=0.1)


def test_levels(capsys):
    found, _ = Intervals.calibrate([windows(30)])
    check_levels([80], found)
    assert capsys.readouterr().err == ""
    check_levels([95], found)
    assert "needs 39 validation windows; there are 30" in capsys.readouterr().err
    assert [windows_needed(level) for level in (50, 80, 95)] == [3, 9, 39]
    with pytest.raises(UserError, match="level: 100"):
        check_levels([100], found)


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
