"""Splits and windows; `tests/parity/test_loaders.py` compares them with the reference."""

import time
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.batches import batch_count, index_batches
from data_provider.csv_source import NoWindowError, SeriesSource, split_borders, target_args
from utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def arguments(synthetic_csv):
    def build(**more) -> Namespace:
        defaults = {
            "data": "custom",
            "root_path": str(synthetic_csv.parent),
            "data_path": synthetic_csv.name,
            "features": "M",
            "target": "OT",
            "freq": "h",
            "embed": "timeF",
            "seq_len": 24,
            "label_len": 6,
            "pred_len": 8,
            "percent": 100,
        }
        return Namespace(**{**defaults, **more})

    return build


def test_batch_is_the_items(arguments):
    windows = SeriesSource(arguments()).split("train")
    index = torch.tensor([0, 17, len(windows) - 1])
    x, y = windows.batch(index)
    assert x.shape == (3, 24, 3)
    for row, i in enumerate(index.tolist()):
        item_x, item_y, x_mark, y_mark = windows[i]
        assert torch.equal(x[row], item_x)
        assert torch.equal(y[row], item_y[6:])
        assert torch.equal(item_y[:6], item_x[-6:])
        assert len(x_mark) == 24
        assert len(y_mark) == 14
    assert torch.equal(windows[-1][0], windows[len(windows) - 1][0])
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_custom_target_comes_last(arguments):
    source = SeriesSource(arguments(target="HUFL"))
    assert source.columns == ["HULL", "OT", "HUFL"]
    table = dict(zip(source.table.columns, source.table.values.T, strict=True))
    np.testing.assert_array_equal(source.values[:, 2], table["HUFL"])


def test_ms_scores_the_target_alone(arguments):
    windows = SeriesSource(arguments(features="MS", target="HULL")).split("test")
    assert windows.n_channels == 3
    y = torch.randn(2, 8, 3)
    assert torch.equal(windows.scored(y), y[..., 2:])


def test_s_is_the_target(arguments):
    assert SeriesSource(arguments(features="S", target="HULL")).columns == ["HULL"]


def test_inverse_transform(arguments):
    source = SeriesSource(arguments(features="MS", target="HULL"))
    windows = source.split("test")
    start = source.borders()["test"].start
    original = source.values[start : start + 24]
    x = windows.values[:24]
    np.testing.assert_allclose(windows.inverse_transform(x), original, rtol=1e-4, atol=1e-4)
    alone = windows.inverse_transform(x[:, 2:])
    np.testing.assert_allclose(alone, original[:, 2:], rtol=1e-4, atol=1e-4)


def test_borders():
    borders = split_borders("ETTm2", 69680, 96, percent=10)
    assert (borders["train"].start, borders["train"].stop) == (0, (34560 - 96) // 10 + 96)
    assert (borders["test"].start, borders["test"].stop) == (46080 - 96, 57600)
    borders = split_borders("custom", 1001, 24)
    assert [borders[flag].stop for flag in ("train", "val", "test")] == [700, 801, 1001]


def test_split(arguments):
    """Fractions and whole numbers of rows; the default is 0.7, 0.1, 0.2."""
    for rows in (10, 601, 966, 17420):
        assert split_borders("custom", rows, 4, 50, [0.7, 0.1, 0.2]) == split_borders(
            "custom", rows, 4, 50
        )
        borders = split_borders("custom", rows, 4, split=[0.8, 0.15, 0.05])
        train, test = int(rows * 0.8), int(rows * 0.05)
        assert [border.stop for border in borders.values()] == [train, rows - test, rows]
        assert [border.start for border in borders.values()] == [0, train - 4, rows - test - 4]
    source = SeriesSource(arguments(split=[400, 50, 100]))
    windows = [len(source.split(flag)) for flag in ("train", "val", "test")]
    assert windows == [400 - 31, 50 - 7, 100 - 7]
    np.testing.assert_array_equal(source.scaler.mean_, source.values[:400].mean(axis=0))
    with pytest.raises(NoWindowError, match="--split 400,150,100: it has 600, 50 fewer"):
        SeriesSource(arguments(split=[400, 150, 100])).split("train")
    ett = split_borders("ETTh1", 17420, 96, split=[0.5, 0.25, 0.25])
    assert ett == split_borders("ETTh1", 17420, 96)
    assert target_args(arguments(split=[1, 1, 1], target_data="other")).split is None


@pytest.mark.parametrize(("windows", "warned"), [(9, True), (10, False)])
def test_few_validation_windows_are_warned_about(arguments, capsys, windows, warned):
    source = SeriesSource(arguments(split=[500, windows + 7, 50], batch_size=8))
    source.describe(*(source.split(flag) for flag in ("train", "val", "test")))
    captured = capsys.readouterr()
    assert (f"{windows} validation windows" in captured.err) == warned
    assert f"the last {600 - 557 - windows} rows are in none of the splits" in captured.out


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"data": "ETTh9"}, "ETTh9"),
        ({"target": "nothing"}, "no column named nothing"),
        ({"freq": "parsec"}, "parsec"),
        ({"data_path": "none.csv"}, "no such file"),
    ],
)
def test_refused(arguments, more, expected):
    with pytest.raises(UserError, match=expected):
        SeriesSource(arguments(**more))


def test_without_the_usual_target(arguments, synthetic_csv, tmp_path, capsys):
    """The last column is taken, unless a target was asked for or matters."""
    table = pd.read_csv(synthetic_csv).rename(columns={"OT": "other"})
    table = table[["date", "other", *[c for c in table.columns if c not in ("date", "other")]]]
    table.to_csv(tmp_path / "x.csv", index=False)
    here = {"root_path": str(tmp_path), "data_path": "x.csv"}
    assert SeriesSource(arguments(**here, given=[])).columns == list(table.columns[1:])
    assert f"no column OT: the target is {table.columns[-1]}, the last" in capsys.readouterr().out
    for more in ({"given": ["target"]}, {"given": [], "features": "MS"}):
        with pytest.raises(UserError, match="no column named OT"):
            SeriesSource(arguments(**here, **more))


@pytest.mark.parametrize(
    ("more", "flag", "missing"),
    [
        ({"percent": 1}, "train", 5),  # (420 - 24) // 100 + 24 = 27 of 32 rows
        ({"pred_len": 100}, "val", 40),  # 60 + 24 of 124 rows
        ({"seq_len": 500}, "val", 80),  # 420 of 500 rows before the split
        ({"data": "ETTh1"}, "train", 13800),  # 20 months of 720 rows
    ],
)
def test_too_few_rows(arguments, more, flag, missing):
    with pytest.raises(NoWindowError, match=f"{missing} (rows are missing|fewer)"):
        SeriesSource(arguments(**more)).split(flag)


@pytest.mark.parametrize(("rows", "channels"), [(26_304, 321), (17_544, 862)])
def test_electricity_and_traffic_sizes_load_in_seconds(arguments, tmp_path, rows, channels):
    """The lines of one day are repeated, so that writing the file is quick."""
    rng = np.random.default_rng(0)
    day = [",".join(f"{value:.4f}" for value in row) for row in rng.random((24, channels))]
    dates = pd.date_range("2016-07-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    names = [*map(str, range(channels - 1)), "OT"]
    with (tmp_path / "large.csv").open("w") as file:
        file.write(f"date,{','.join(names)}\n")
        file.writelines(f"{date},{day[i % 24]}\n" for i, date in enumerate(dates))
    start = time.perf_counter()
    source = SeriesSource(
        arguments(root_path=str(tmp_path), data_path="large.csv", seq_len=96, pred_len=720)
    )
    windows = [source.split(flag) for flag in ("train", "val", "test")]
    x, y = windows[2].batch(torch.tensor([0, len(windows[2]) - 1]))
    assert time.perf_counter() - start < 20
    assert x.shape == (2, 96, channels)
    assert y.shape == (2, 720, channels)
    test = int(rows * 0.2)
    assert [len(part) for part in windows][2] == test + 96 - 96 - 720 + 1


def test_scaler_sees_all_training_rows_whatever_percent(arguments):
    few, all_ = (SeriesSource(arguments(percent=p)).split("train") for p in (20, 100))
    assert len(few) < len(all_)
    np.testing.assert_array_equal(few.scaler.mean_, all_.scaler.mean_)


def test_target_args(arguments):
    args = arguments(target_data="ETTm2")
    target = target_args(args)
    assert (target.data, target.data_path) == ("ETTm2", "ETTm2.csv")
    assert target.freq == args.freq  # a model expects as many time marks as in training
    args.target_data = "other"
    assert (target_args(args).data, target_args(args).data_path) == ("custom", "other.csv")


@pytest.mark.parametrize(
    ("count", "size", "drop", "expected"),
    [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (3, 4, True, [3]), (8, 4, True, [4, 4])],
)
def test_index_batches(count, size, drop, expected):
    batches = list(index_batches(count, size, CPU, drop_last=drop))
    assert [len(batch) for batch in batches] == expected
    assert batch_count(count, size, drop) == len(expected)
    assert torch.cat(batches).tolist() == list(range(sum(expected)))


def test_shuffling_follows_its_seed():
    one, same, other = (torch.cat(list(index_batches(50, 7, CPU, seed))) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert sorted(one.tolist()) == list(range(50))
