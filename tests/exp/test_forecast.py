"""Forecasts of files: `python -m exp.forecast`."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exp.forecast import main
from exp.forecaster import CALFForecaster

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


def run(checkpoint, source, target, *more: str) -> int:
    paths = ["--checkpoint", checkpoint, "--input", source, "--output", target]
    return main([*map(str, paths), *more])


def test_the_language_model_of_the_training(synthetic_csv, small_gpt2, workdir, capsys):
    """Its relative name is found from elsewhere; or it is given."""
    shutil.copytree(small_gpt2, "work/some/gpt2")
    table, output = pd.read_csv(synthetic_csv), ("--output", "out.csv")
    options = OPTIONS | {"model": "CALF", "llm": "some/gpt2", "gpt_layers": 1}
    with contextlib.chdir("work"):
        words = {"word_embedding_path": "some/gpt2/words.pt"}
        CALFForecaster(h=7, **options, **words).fit(table.iloc[:200]).save("models/saved")
    line = ["--checkpoint", "work/models/saved", "--input", str(synthetic_csv), *output]
    assert main(line) == 0
    expected = pd.read_csv("out.csv")
    Path("work/some").rename("moved")
    assert main(line) == 2
    assert "some/gpt2" in capsys.readouterr().err
    assert main([*line, "--llm", "moved/gpt2"]) == 0
    pd.testing.assert_frame_equal(pd.read_csv("out.csv"), expected)


def test_a_long_file(pooled, tmp_path):
    """From Parquet to CSV; `tests/exp/test_one_door.py` reads many kinds."""
    table = many_series(5)
    source, target = tmp_path / "in.parquet", tmp_path / "new/out.csv"
    table.to_parquet(source)
    assert run(pooled[0], source, target, "--level", "80") == 0
    expected = pooled[1].predict(table, level=[80])
    found = pd.read_csv(target, parse_dates=["ds"]).astype({"ds": expected["ds"].dtype})
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.fixture
def folder(tmp_path):
    """A folder of three files."""
    source = tmp_path / "data"
    source.mkdir()
    for number in range(3):
        many_series(2 + number).to_parquet(source / f"part{number}.parquet")
    return source


def check_forecasts(folder, target, forecaster) -> None:
    for path in folder.iterdir():
        expected = forecaster.predict(pd.read_parquet(path))
        found = pd.read_parquet(target / path.name)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_folder_by_torchrun(pooled, folder, tmp_path, monkeypatch, capsys):
    """Whose variables tell each process which files are its own."""
    rows = []
    for rank in ("0", "1"):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        assert run(pooled[0], folder, tmp_path / "out") == 0
        rows.append(capsys.readouterr().out.count(" rows"))
    assert rows == [2, 1]
    check_forecasts(folder, tmp_path / "out", pooled[1])


@pytest.mark.slow
def test_a_folder_by_ray(pooled, folder, tmp_path):
    pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[data]"')
    assert run(pooled[0], folder, tmp_path / "out", "--engine", "ray", "--workers", "2") == 0
    check_forecasts(folder, tmp_path / "out", pooled[1])


def test_a_folder_goes_on_after_a_bad_file(pooled, folder, tmp_path, capsys):
    (folder / "part1.parquet").write_bytes(b"none")
    (folder / "part3.CSV").write_text("unique_id,ds,y\na,2024-01-01,x\n")
    many_series(1).to_csv(folder / "part4.CSV", index=False)
    assert run(pooled[0], folder, tmp_path / "out") == 1
    out, error = capsys.readouterr()
    first, second, count = error.splitlines()
    assert first.startswith(f"error: {folder / 'part1.parquet'}: ")
    assert second.startswith(f"error: {folder / 'part3.CSV'}: ") and "'x' is not a number" in second
    assert count == "2 of 5 files failed"
    done = ["part0.parquet", "part2.parquet", "part4.CSV"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == done
    assert out.count(" rows") == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "absent.csv"}, "absent.csv: no such file; check --input"),
        ({"checkpoint": "./absent"}, "absent: no such file or folder; check --checkpoint"),
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


@pytest.mark.parametrize(
    ("rows", "more", "expected"),
    [(12, [], "--start_padding"), (60, ["--id_col", "shop"], "no column shop"),
     (60, ["--time_col", "when"], "--time_col"), (1, ["--start_padding"], "--freq")],
)  # fmt: skip
def test_messages_name_options(pooled, tmp_path, capsys, rows, more, expected):
    many_series(1, rows).to_csv(tmp_path / "in.csv", index=False)
    assert run(pooled[0], tmp_path / "in.csv", tmp_path / "out.csv", *more) == 2
    error = capsys.readouterr().err
    assert expected in error and str(tmp_path / "in.csv") in error
