"""CALF on a task of fev, which is an optional dependency."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts import fev_adapter

fev = pytest.importorskip("fev", reason="fev is not installed: scripts/fev_adapter.py says how")

ROWS, HORIZON, WINDOWS, SEASON = 240, 12, 3, 24


@pytest.fixture
def table(tmp_path, monkeypatch) -> pd.DataFrame:
    """Three series in no order, of different levels, in `local.parquet`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    random, time = np.random.default_rng(0), np.arange(ROWS)
    frames = [
        pd.DataFrame(
            {
                "store": name,
                "when": pd.date_range("2024-01-01", periods=ROWS, freq="h"),
                "sold": 10 * k + np.sin(time * 2 * np.pi / SEASON) + random.normal(0, 0.2, ROWS),
                "returned": -5 * k + random.normal(0, 1, ROWS).cumsum(),
                "temperature": random.normal(0, 1, ROWS),
            }
        )
        for k, name in enumerate(["b", "c", "a"], start=1)
    ]
    table = pd.concat(frames, ignore_index=True)
    table.to_parquet("local.parquet")
    return table


class LastValue:
    """Repeats the last value; quantiles are one below and one above. It returns series and steps in
    another order than it got them."""

    model = "LastValue"
    fits = 0

    def fit(self, df: pd.DataFrame, id_col: str, time_col: str, target_col: str) -> None:
        self.fits += 1
        self.newest = df[time_col].max()

    def predict_df(
        self, df, id_column, timestamp_column, target, prediction_length, quantile_levels
    ) -> pd.DataFrame:
        assert list(df.columns) == [id_column, timestamp_column, target]
        assert df[timestamp_column].max() >= self.newest
        found = []
        for name, rows in df.groupby(id_column):
            last = rows.iloc[-1]
            steps = pd.date_range(last[timestamp_column], periods=prediction_length + 1, freq="h")
            one = pd.DataFrame({timestamp_column: steps[:0:-1], "predictions": last[target]})
            one.insert(0, id_column, name)
            for level in quantile_levels:
                one[str(level)] = last[target] + np.sign(level - 0.5)
            found.append(one)
        return pd.concat(found[::-1], ignore_index=True)


def task_of(**more: object) -> "fev.Task":
    given = {
        "dataset_path": "local.parquet", "horizon": HORIZON, "num_windows": WINDOWS,
        "seasonality": SEASON, "id_column": "store", "timestamp_column": "when", "target": "sold",
    }  # fmt: skip
    return fev.Task(**given | more)


def mase_of_last_value(table: pd.DataFrame, target: str) -> float:
    """Mean over windows and series, computed here."""
    errors = []
    for window in range(WINDOWS):
        end = ROWS - HORIZON * (WINDOWS - window)
        for _, rows in table.groupby("store"):
            values = rows[target].to_numpy()
            scale = np.abs(values[SEASON:end] - values[: end - SEASON]).mean()
            errors.append(np.abs(values[end : end + HORIZON] - values[end - 1]).mean() / scale)
    return float(np.mean(errors))


def test_univariate(table):
    forecaster = LastValue()
    task = task_of(eval_metric="MASE", extra_metrics=["MQL"], quantile_levels=[0.1, 0.9])
    summary = fev_adapter.evaluate(task, lambda given: forecaster)
    assert summary["test_error"] == pytest.approx(mase_of_last_value(table, "sold"))
    assert forecaster.fits == 1
    assert (summary["model_name"], summary["num_forecasts"]) == ("LastValue", 9)
    assert summary["trained_on_this_dataset"]
    assert np.isfinite(summary["MQL"])
    assert summary["training_time_s"] >= 0


def test_several_targets(table):
    task = task_of(target=["returned", "sold"])
    summary = fev_adapter.evaluate(task, lambda given: LastValue())
    expected = [mase_of_last_value(table, name) for name in ("returned", "sold")]
    assert summary["test_error"] == pytest.approx(np.mean(expected))
    assert summary["num_forecasts"] == 18


COMMAND = (
    "--data local.parquet --horizon 12 --windows 2 --season 24 --id_column store "
    "--timestamp_column when --look_back 24"
).split()


def test_the_command(table, small_gpt2, capsys):
    """CALF itself."""
    options = [
        f"llm={small_gpt2}", f"word_embedding_path={small_gpt2 / 'words.pt'}", "d_model=24",
        "gpt_layers=2", "train_epochs=1", "use_gpu=0", "batch_size=16",
    ]  # fmt: skip
    given = [*COMMAND, "--target", "sold", "--quantiles", "0.1", "0.5", "0.9", "--metric", "SQL"]
    assert fev_adapter.main([*given, "--options", *options, "--output", "out.json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["model_name"] == "CALF"
    assert 0 < summary["test_error"] < 100
    assert summary == json.loads(Path("out.json").read_text())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--data", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--target", "missing"], "fev refuses the task"),
        (["--metric", "WQL", "--target", "sold"], "quantile_levels"),
    ],
)
def test_wrong_commands(table, capsys, more, says):
    assert fev_adapter.main([*COMMAND, *more]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert says in message
