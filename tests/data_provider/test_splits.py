"""Panels become scaled splits; `tests/parity/test_loaders.py` compares them with the reference."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.panel import Table
from data_provider.splits import (
    NoWindowError,
    Scaler,
    Splits,
    chosen_series,
    read_data,
    split_borders,
    target_args,
)
from tests.conftest import refusal
from tests.data_provider import DAYS, long, written
from utils.errors import UserError


def test_custom_target_comes_last(arguments, splits):
    """With MS it is scored alone, unless as published."""
    found = splits(target="HUFL")
    assert found.panel.channels == ["HULL", "OT", "HUFL"]
    table = pd.read_csv(found.panel.source)
    np.testing.assert_array_equal(found.panel.tables[0].values[:, 2], table["HUFL"])
    panel = read_data(arguments())
    assert panel.names == ["HUFL", "HULL", "OT"]
    assert chosen_series(panel, arguments(data="ETTh1", target="HUFL")) == panel.names
    assert splits(features="MS", target="HULL").target == 2
    assert splits(features="MS", target="HULL", protocol="published").target is None


@pytest.mark.parametrize("rows", [10, 601, 966, 17420])
def test_fractions(rows):
    by_default = split_borders("custom", rows, 4, 50)
    assert split_borders("custom", rows, 4, 50, [0.7, 0.1, 0.2]) == by_default
    borders = split_borders("custom", rows, 4, split=[0.8, 0.15, 0.05])
    train, test = int(rows * 0.8), int(rows * 0.05)
    assert [border.stop for border in borders.values()] == [train, rows - test, rows]
    assert [border.start for border in borders.values()] == [0, train - 4, rows - test - 4]


def test_whole_numbers_of_rows(arguments, splits):
    found = splits(split=[400, 50, 100])
    windows = [len(found.split(flag)) for flag in ("train", "val", "test")]
    assert windows == [400 - 31, 50 - 7, 100 - 7]
    values = found.panel.tables[0].values
    np.testing.assert_allclose(found.scaler.mean, values[:400].mean(axis=0), rtol=1e-12)
    with pytest.raises(NoWindowError, match="--split 400,150,100: it has 600, 50 fewer"):
        splits(split=[400, 150, 100]).split("train")
    ett = split_borders("ETTh1", 17420, 96, split=[0.5, 0.25, 0.25])
    assert ett == split_borders("ETTh1", 17420, 96)
    assert target_args(arguments(split=[1, 1, 1], target_data="other"))["split"] is None


@pytest.mark.parametrize(("windows", "warned"), [(9, True), (10, False)])
def test_few_validation_windows_are_warned_about(splits, capsys, windows, warned):
    found = splits(split=[500, windows + 7, 50], batch_size=8)
    found.describe(*(found.split(flag) for flag in ("train", "val", "test")))
    captured = capsys.readouterr()
    assert (f"{windows} validation windows" in captured.err) == warned
    assert f"the last {600 - 557 - windows} rows are in none of the splits" in captured.out


def test_without_the_usual_target(splits, synthetic_csv, tmp_path, capsys):
    """It is missed where it matters or was asked for."""
    table = pd.read_csv(synthetic_csv).rename(columns={"OT": "other"})
    table = table[["date", "other", *[c for c in table.columns if c not in ("date", "other")]]]
    here = {"root_path": str(written(tmp_path, table).parent), "data_path": "x.csv"}
    assert splits(**here, given=[]).panel.channels == list(table.columns[1:])
    assert capsys.readouterr().out == ""
    for more in ({"given": ["target"]}, {"given": [], "features": "MS"}):
        with pytest.raises(UserError, match="no column named OT"):
            splits(**here, **more)


@pytest.mark.parametrize(
    ("more", "flag", "missing"),
    [
        ({"percent": 1}, "train", "5 rows are missing (--seq_len"),  # 27 of 32 rows
        ({"pred_len": 100}, "val", "40 rows are missing (--seq_len"),  # 60 + 24 of 124 rows
        ({"seq_len": 500}, "val", "80 rows are missing before it"),  # 420 of 500 rows
        ({"data": "ETTh1"}, "train", "13800 fewer"),  # 20 months of 720 rows
    ],
)
def test_too_few_rows(splits, more, flag, missing):
    with pytest.raises(NoWindowError, match=re.escape(missing)):
        splits(**more).split(flag)


def test_scaler_sees_all_training_rows_whatever_percent(splits):
    few, everything = (splits(percent=percent).split("train") for percent in (20, 100))
    assert len(few) < len(everything)
    np.testing.assert_array_equal(few.mean, everything.mean)


def test_scaler():
    """Constant series keep their unit; one that training has not seen is scaled by its own rows."""
    values = np.stack([np.arange(10.0), np.full(10, 7.0)], axis=1)
    scaler = Scaler.fit([Table(DAYS[:10], ["a", "b"], values)], [4])
    mean, scale = scaler.of(Table(DAYS[:10], ["b", "new", "a"], values[:, [0, 0, 0]]))
    np.testing.assert_allclose(mean, [7, 4.5, 1.5])
    np.testing.assert_allclose(scale, [1, np.std(np.arange(10)), np.std(np.arange(4))])


@pytest.fixture
def pooled(arguments, tmp_path):
    """Options of a long file whose series have 60, 40 and 9 rows."""
    days = pd.date_range("2024-01-01", periods=60)
    table = long({"a": days, "b": days[20:], "c": days[:9]})
    path = written(tmp_path, table.assign(y=table["y"] + 1000 * (table["unique_id"] == "b")))

    def build(**more):
        return arguments(root_path=tmp_path, data_path=path.name, seq_len=4, pred_len=2, **more)

    return build


def test_pooled_series(pooled, capsys):
    """Each is scaled by its own training rows, and no window has rows of two."""
    args = pooled()
    panel = read_data(args)
    found = Splits(panel.only(chosen_series(panel, args)), args)
    windows = found.split("train")
    assert (found.panel.channels, windows.n_channels) == (["value"], 1)
    lengths = [int(rows * 0.7) for rows in (60, 40, 9)]
    assert len(windows) == sum(rows - 5 for rows in lengths)
    for number in range(len(windows)):
        rows = torch.cat(windows.batch(torch.tensor([number])), dim=1)[0, :, 0].numpy()
        assert np.ptp(np.diff(rows)) < 1e-5
    assert {windows.name(number, 0) for number in range(len(windows))} == {"a", "b", "c"}
    for table, rows in zip(panel.tables, lengths, strict=True):
        number = panel.names.index(table.ids[0])
        np.testing.assert_allclose(found.scaler.mean[number], table.values[:rows].mean())
    found.describe(windows, windows, found.split("test"))
    output = capsys.readouterr().out
    assert "series: 3, pooled; windows: " in output
    assert "series without a window in the test split: 1 of 3" in output


def test_features_of_pooled_series(pooled):
    panel = read_data(pooled())
    assert chosen_series(panel, pooled(features="S", target="b")) == ["b"]
    assert "needs the same timestamps" in refusal(
        chosen_series, panel, pooled(features="MS", target="b")
    )


@pytest.mark.parametrize(
    ("name", "data", "path"),
    [
        ("ETTm2", "ETTm2", "ETTm2.csv"),
        ("other", "custom", "other.csv"),
        ("x.csv", "custom", "x.csv"),
        ("x.Parquet", "custom", "x.Parquet"),
    ],
)
def test_target_args(arguments, name, data, path):
    target = target_args(arguments(target_data=name))
    assert (target["data"], target["data_path"]) == (data, path)
    assert "freq" not in target  # a model expects as many time marks as in training


def test_batch_is_slices_of_the_rows(splits):
    windows = splits().split("train")
    index = torch.tensor([0, 17, len(windows) - 1])
    (x, y), (x_marks, y_marks) = windows.batch(index), windows.batch_marks(index)
    for row, i in enumerate(index.tolist()):
        cut = i + 24
        assert torch.equal(x[row], windows.values[i:cut])
        assert torch.equal(y[row], windows.values[cut : cut + 8])
        assert torch.equal(x_marks[row], windows.marks[i:cut])
        assert torch.equal(y_marks[row], windows.marks[cut - 6 : cut + 8])
    assert cut + 8 == len(windows.values)
