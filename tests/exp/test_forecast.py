"""Forecasts of files: `python -m exp.forecast`."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from exp import forecast
from exp.forecast import main, pieces
from exp.forecaster import CALFForecaster
from tests.conftest import ROOT

OPTIONS = {"model": "DLinear", "input_size": 24, "train_epochs": 1, "moving_avg": 5,
           "verbose": False, "use_gpu": False}  # fmt: skip


def many_series(count: int, rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{n}" for n in range(count)], rows),
            "ds": np.tile(dates, count),
            "y": draw.normal(size=count * rows).cumsum(),
        }
    )


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """A saved model of pooled daily series, and the forecaster."""
    folder = tmp_path_factory.mktemp("pooled")
    forecaster = CALFForecaster(h=7, panel="pooled", **OPTIONS).fit(many_series(3, 90))
    forecaster.save(folder)
    return folder, forecaster


@pytest.fixture(scope="module")
def channels(tmp_path_factory, synthetic_csv):
    folder = tmp_path_factory.mktemp("channels")
    forecaster = CALFForecaster(h=7, **OPTIONS).fit(pd.read_csv(synthetic_csv))
    forecaster.save(folder)
    return folder, forecaster


def run(checkpoint, source, target, *more: str) -> int:
    paths = ["--checkpoint", checkpoint, "--input", source, "--output", target]
    return main([*map(str, paths), *more])


@pytest.mark.parametrize(("before", "after"), [("csv", "parquet"), ("parquet", "csv")])
def test_a_long_file(pooled, tmp_path, before, after):
    table = many_series(5)
    source, target = tmp_path / f"in.{before}", tmp_path / f"new/out.{after}"
    table.to_csv(source, index=False) if before == "csv" else table.to_parquet(source)
    assert run(pooled[0], source, target, "--level", "80") == 0
    found = pd.read_csv(target) if after == "csv" else pd.read_parquet(target)
    expected = pooled[1].predict(table, level=[80])
    found["ds"] = pd.to_datetime(found["ds"]).astype(expected["ds"].dtype)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_wide_file(channels, tmp_path, synthetic_csv):
    assert run(channels[0], synthetic_csv, tmp_path / "out.csv") == 0
    found = pd.read_csv(tmp_path / "out.csv")
    expected = channels[1].predict(pd.read_csv(synthetic_csv))
    assert list(found) == list(expected)
    np.testing.assert_allclose(found.iloc[:, 1:], expected.iloc[:, 1:])
    assert (pd.to_datetime(found["date"]) == pd.to_datetime(expected["date"])).all()


@pytest.mark.parametrize("order", ["by series", "by time", "shuffled series"])
def test_pieces_do_not_change_forecasts(pooled, tmp_path, monkeypatch, order):
    """Series one after the other or interleaved, in chunks of a few rows."""
    table = many_series(9, 40)
    if order == "by time":
        table = table.sort_values("ds", kind="stable")
    elif order == "shuffled series":
        table = table.iloc[np.random.default_rng(1).permutation(len(table))].sort_values(
            "ds", kind="stable"
        )
    table.to_csv(tmp_path / "in.csv", index=False)
    assert run(pooled[0], tmp_path / "in.csv", tmp_path / "whole.csv") == 0
    monkeypatch.setattr(forecast, "ROWS", 23)
    monkeypatch.setattr(forecast, "SERIES", 2)
    assert run(pooled[0], tmp_path / "in.csv", tmp_path / "parts.csv") == 0
    one, other = (pd.read_csv(tmp_path / name) for name in ("whole.csv", "parts.csv"))
    keys = ["unique_id", "ds"]
    pd.testing.assert_frame_equal(
        one.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True)
    )


def test_memory_is_that_of_a_piece(pooled, tmp_path, monkeypatch):
    """Ten times the rows take about the same memory."""
    monkeypatch.setattr(forecast, "ROWS", 6000)
    peaks = []
    for count in (400, 4000):
        path = tmp_path / f"{count}.csv"
        many_series(count, 30).to_csv(path, index=False)
        tracemalloc.start()
        rows = sum(len(piece) for piece in pieces(pooled[1], path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == count * 30
    assert peaks[1] < 1.5 * peaks[0] + 2e6


@pytest.fixture
def folder(tmp_path):
    """A folder of three files, and the forecasts of each by itself."""
    source = tmp_path / "data"
    source.mkdir()
    for number in range(3):
        many_series(2 + number).to_parquet(source / f"part{number}.parquet")
    return source


def same_forecasts(folder, target, forecaster) -> bool:
    for path in folder.iterdir():
        expected = forecaster.predict(pd.read_parquet(path))
        pd.testing.assert_frame_equal(
            pd.read_parquet(target / path.name), expected, check_dtype=False
        )
    return True


def test_a_folder_by_torchrun(pooled, folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
         "-m", "exp.forecast", "--checkpoint", pooled[0], "--input", folder,
         "--output", tmp_path / "out", "--use_gpu", "0"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert same_forecasts(folder, tmp_path / "out", pooled[1])
    assert done.stdout.count(" rows") == 3


@pytest.mark.slow
def test_a_folder_by_ray(pooled, folder, tmp_path):
    pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[data]"')
    done = subprocess.run(
        [sys.executable, "-m", "exp.forecast", "--checkpoint", pooled[0], "--input", folder,
         "--output", tmp_path / "out", "--use_gpu", "0", "--engine", "ray", "--workers", "2"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert same_forecasts(folder, tmp_path / "out", pooled[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "absent.csv"}, "absent.csv: no such file; check --input"),
        ({"checkpoint": "absent"}, "absent: no such file or folder; check --checkpoint"),
        ({"target": "out.txt"}, "out.txt: the ending has to be one of .csv, .parquet"),
        ({"target": "in.csv"}, "is the input"),
    ],
)
def test_wrong_paths(pooled, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    many_series(1).to_csv("in.csv", index=False)
    paths = {"checkpoint": pooled[0], "source": "in.csv", "target": "out.csv"} | change
    assert run(**paths) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("shape", ["wide", "long"])
def test_messages_name_the_row_of_the_file(
    pooled, channels, tmp_path, monkeypatch, capsys, ending, shape
):
    """Not that of the rows that were read, nor the arguments of Python."""
    monkeypatch.setattr("exp.forecast.ROWS", 100)
    long = many_series(3, 3000)
    series = {f"s{n}": long["y"][n * 3000 : (n + 1) * 3000].to_numpy() for n in range(3)}
    wide = pd.DataFrame({"date": long["ds"][:3000], **series})
    table, column, name = (wide, "s1", "s1") if shape == "wide" else (long, "y", "s2")
    source, row = tmp_path / f"in.{ending}", len(table) - 4
    table.loc[row, column] = None
    if ending == "csv":
        table.to_csv(source, index=False)
    else:
        table.to_parquet(source)
    checkpoint = (channels if shape == "wide" else pooled)[0]
    assert run(checkpoint, source, tmp_path / "out.csv") == 2
    error = capsys.readouterr().err
    where = f"row {row + 1}" + (f" (line {row + 2})" if ending == "csv" else ":")
    assert f"{source}: series {name}" in error and where in error
    assert "--fill_missing linear" in error and "fill_missing=" not in error
    assert run(checkpoint, source, tmp_path / "out.csv", "--fill_missing", "linear") == 0


@pytest.mark.parametrize(
    ("rows", "more", "expected"),
    [(12, [], "--start_padding"), (60, ["--id_col", "shop"], "no column shop"),
     (60, ["--time_col", "when"], "--time_col"), (1, ["--start_padding"], "--freq")],
)  # fmt: skip
def test_messages_name_options(pooled, tmp_path, capsys, rows, more, expected):
    many_series(1, rows).to_csv(tmp_path / "in.csv", index=False)
    assert run(pooled[0], tmp_path / "in.csv", tmp_path / "out.csv", *more) == 2
    error = capsys.readouterr().err
    assert expected in error and str(tmp_path / "in.csv") in error and "=" not in error


def test_text_is_named_where_it_is(channels, tmp_path, synthetic_csv, capsys):
    """Not the first number of its column; and text before the rows that count is none of them."""
    table = pd.read_csv(synthetic_csv)
    column = table.columns[1]
    for row, code in ((len(table) - 4, 2), (0, 0)):
        changed = table.astype({column: object})
        changed.loc[row, column] = "n/a?"
        changed.to_csv(tmp_path / "in.csv", index=False)
        out = tmp_path / f"{code}.csv"
        assert run(channels[0], tmp_path / "in.csv", out) == code
        if code:
            error = capsys.readouterr().err
            assert f"{column}, row {row + 1} (line {row + 2}): 'n/a?' is not a number" in error
    assert run(channels[0], synthetic_csv, tmp_path / "all.csv") == 0
    assert out.read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_the_file_is_named_once(channels, tmp_path, synthetic_csv, capsys):
    """Also where the model, not the reader, refuses it."""
    source = tmp_path / "in.csv"
    pd.read_csv(synthetic_csv).iloc[:, :3].to_csv(source, index=False)
    assert run(channels[0], source, tmp_path / "out.csv") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {source}: ") and error.count(str(source)) == 1


def test_a_named_id_that_is_not_there(channels, tmp_path, synthetic_csv, capsys):
    """It is not ignored, as if the file were wide."""
    assert run(channels[0], synthetic_csv, tmp_path / "out.csv", "--id_col", "shop") == 2
    assert "no column shop" in capsys.readouterr().err


def test_an_error_leaves_nothing(pooled, tmp_path, capsys):
    table = many_series(2)
    table.loc[100, "y"] = np.nan
    table.to_csv(tmp_path / "in.csv", index=False)
    assert run(pooled[0], tmp_path / "in.csv", tmp_path / "out.csv") == 2
    error = capsys.readouterr().err
    assert "in.csv" in error and "s1" in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
