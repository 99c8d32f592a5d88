"""Naive forecasts beside every forecast, and trainings that learn less than they, or diverge."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from run import main
from tests.exp.small_runs import argv
from utils.naive import print_naive

LONG, SHORT = "long_term_forecast", "short_term_forecast"
NAIVE = ("LastValue", "SeasonalNaive")


@pytest.fixture
def run(small_data, workdir, record):
    """Run, and return `run.json`."""

    def run(task: str, *more: str) -> dict:
        assert main(argv(task, small_data, "--train_epochs", "1", *more)) == 0
        return record()

    return run


@pytest.mark.parametrize(
    "more",
    [
        ("--inverse", "--features", "MS"),
        ("--features", "S", "--season_length", "5"),
        ("--zero_shot", "1", "--target_data", "made_up", "--protocol", "published"),
    ],
)
def test_they_are_those_of_the_models(run, capsys, more):
    found = run(LONG, "--model", "DLinear", *more)["baselines"]
    assert sorted(found) == sorted(NAIVE)
    assert found["SeasonalNaive"].pop("season") == (5 if "--season_length" in more else 24)
    printed = capsys.readouterr().out
    for name in NAIVE:
        scores = run(LONG, "--model", name, *more)["scores"]
        assert found[name] == pytest.approx({key: scores[key] for key in ("mse", "mae")}, rel=1e-9)
        assert f"mse {scores['mse']:.4g}, mae {scores['mae']:.4g}" in printed


def test_of_m4(run):
    more = ("--seasonal_patterns", "Weekly")
    record = run(SHORT, "--model", "DLinear", *more)
    naive = run(SHORT, "--model", "LastValue", *more)
    assert list(record["baselines"]) == ["LastValue"]  # weeks have no season in M4
    for name, value in record["baselines"]["LastValue"].items():
        assert value == pytest.approx(naive["scores"][name], rel=1e-6)
    more += ("--season_length", "4")
    found = run(SHORT, "--model", "DLinear", *more)["baselines"]["SeasonalNaive"]
    naive = run(SHORT, "--model", "SeasonalNaive", *more)
    assert found["season"] == 4
    assert found["smape"] == pytest.approx(naive["scores"]["smape"], rel=1e-6)


def test_each_score_is_judged(capsys):
    """By its best naive forecast."""
    naive = {"LastValue": {"mse": 2.0, "mae": 0.5}, "SeasonalNaive": {"mse": 1.0, "mae": 0.9}}
    print_naive("CALF", {"mse": 0.8, "mae": 0.6}, naive)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "CALF loses to the last value forecast: mae 0.6 against 0.5"
    ]
    print_naive("CALF", {"mse": 1.1, "mae": 0.6}, naive)
    assert "CALF loses to the seasonal naive forecast: mse 1.1 against 1" in capsys.readouterr().out


@pytest.mark.parametrize("season", ["unknown", "too long"])
def test_without_a_season(run, wide, season):
    dates = np.arange(len(wide)) if season == "unknown" else wide["date"]
    wide.assign(date=dates).to_csv("own.csv", index=False)
    more = ("--root_path", ".", "--data_path", "own.csv", "--seq_len", "20", "--model", "DLinear")
    assert list(run(LONG, *more)["baselines"]) == ["LastValue"]


def random_walk(path: str) -> None:
    """Write a series that nothing forecasts better than its last value does."""
    values = np.random.default_rng(0).standard_normal(700).cumsum()
    dates = pd.date_range("2020-01-01", periods=700, freq="h")
    pd.DataFrame({"date": dates, "OT": values}).to_csv(path, index=False)


def test_a_run_that_loses_says_so(run, capsys):
    random_walk("walk.csv")
    walk = ("--root_path", ".", "--data_path", "walk.csv")
    lost = run(LONG, *walk, "--model", "DLinear", "--learning_rate", "1e-9")
    out = capsys.readouterr().out
    scores, last = lost["scores"], lost["baselines"]["LastValue"]
    against = ", ".join(f"{n} {scores[n]:.4g} against {last[n]:.4g}" for n in ("mse", "mae"))
    assert f"DLinear loses to the last value forecast: {against}" in out
    score = lost["best_epoch"]["validation"]
    trivial = lost["validation_baselines"]["the last value"]
    assert f"did not learn: validation mse {score:.4g} (epoch 1) against {trivial:.4g}" in out
    assert not lost["diverged"]
    run(LONG, *walk, "--model", "LastValue")
    run(LONG, "--model", "DLinear", "--train_epochs", "3")
    out = capsys.readouterr().out
    assert "loses" not in out and "did not learn" not in out


def test_a_diverged_training(small_data, workdir, capsys):
    """Of a linear model, whose errors grow and stay finite whatever the rounding."""
    more = ("--learning_rate", "50", "--do_predict", "--train_epochs", "2", "--model", "DLinear")
    line = argv(LONG, small_data, *more)
    assert main(line) == 2
    said = capsys.readouterr()
    _, error = said.err.splitlines()  # after a warning of options that it does not use
    assert error.startswith("error: training diverged, and no epoch is good: validation mse ")
    assert "of the last value; try a smaller --learning_rate" in error
    epochs = [text for text in said.out.splitlines() if text.startswith("epoch ")]
    assert [text.rpartition("| ")[2] for text in epochs] == 2 * ["diverged"]
    (path,) = Path("results").glob("*/run.json")
    record = json.loads(path.read_text())
    assert record["scores"]["mse"] > 1000
    assert record["diverged"]
    assert not (path.parent / "forecast.csv").exists()
    assert main(line) == 2  # it may be tried again


@pytest.mark.parametrize("task", ["imputation", "anomaly_detection", "classification", SHORT])
def test_of_other_tasks(small_data, run, task):
    trivial = run(task, "--model", "DLinear")["validation_baselines"]
    if task == "classification":
        assert trivial == {"the most frequent class": 0.5}
    elif task == "imputation":
        values = pd.read_csv(small_data / "made_up.csv").iloc[:, 1:].to_numpy()
        train, val = values[:420], values[420 - 24 : 480]
        expected = (((val - train.mean(0)) / train.std(0)) ** 2).mean()
        assert trivial["the mean of the training rows"] == pytest.approx(expected, rel=1e-5)
    else:
        assert all(0 < score < 100 for score in trivial.values())
