"""Covariates in files and frames, and those known ahead of a forecast."""

import numpy as np
import pandas as pd
import pytest

from data_provider.covariates import with_future
from data_provider.panel import Reading
from data_provider.reader import read_panel
from data_provider.splits import Scaler, padded
from tests.conftest import refusal
from tests.data_provider import DAYS, written
from utils.timefeatures import calendar

BOTH = {"past_covariates": ["temp"], "future_covariates": ["promo"]}
ROWS = np.arange(20.0)
NEXT = pd.date_range(DAYS[-1], periods=5, freq="D")[1:]


def wide() -> pd.DataFrame:
    return pd.DataFrame({"date": DAYS, "promo": ROWS, "a": ROWS + 1, "temp": -ROWS, "b": ROWS + 2})


def long() -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": name, "ds": DAYS, "y": ROWS, "promo": ROWS + k, "temp": k})
        for k, name in enumerate(("s", "t"))
    ]
    return pd.concat(parts, ignore_index=True)


def ahead(dates=NEXT, **columns) -> pd.DataFrame:
    return pd.DataFrame({"date": dates, "promo": 1.5 + np.arange(len(dates))} | columns)


def refused(future, source=None, steps: int = 4) -> str:
    panel = read_panel(wide() if source is None else source, Reading(**BOTH))
    return refusal(with_future, panel, future, steps)


def test_columns_of_a_wide_table():
    panel = read_panel(wide(), Reading(**BOTH))
    (table,) = panel.tables
    assert (panel.names, panel.mode) == (["a", "b"], "channels")
    assert (table.past.ids, table.future.ids) == (["temp"], ["promo"])
    np.testing.assert_array_equal(table.past.values[:, 0], -ROWS)
    chosen = panel.only(["b"]).tables[0]
    assert chosen.ids == ["b"] and chosen.future is table.future
    pooled = read_panel(wide(), Reading(**BOTH, panel="pooled")).tables
    assert [table.ids for table in pooled] == [["a"], ["b"]]
    assert all(np.array_equal(table.future.values[:, 0], ROWS) for table in pooled)


def test_columns_of_a_long_table_belong_to_its_series(capsys):
    panel = read_panel(long().sample(frac=1, random_state=0), Reading(**BOTH))
    assert panel.pooled and "covariates of its own" in capsys.readouterr().out
    for table in panel.tables:
        (name,) = table.ids
        np.testing.assert_array_equal(table.future.values[:, 0], ROWS + "st".index(name))
        assert table.past.ids == [f"temp of {name}"]
    message = refusal(read_panel, long(), Reading(**BOTH, panel="channels"))
    assert "give panel='pooled', or a wide table" in message


def test_what_was_known_ahead_of_rows_stays_known():
    table = read_panel(wide(), Reading(**BOTH)).tables[0].rows(slice(4, -6))
    assert (table.values[:, 0] == ROWS[4:14] + 1).all() and len(table.past.dates) == 10
    assert table.future.values[:, 0].tolist() == ROWS[4:].tolist()
    longer = padded(table, 12)
    assert longer.future.values[:3, 0].tolist() == [4, 4, 4] and len(longer.future.dates) == 18
    assert longer.dates.equals(longer.future.dates[:12])


def test_scaled_by_training_rows_with_the_calendar():
    panel = read_panel(wide(), Reading(**BOTH, calendar=True))
    scaler = Scaler.fit(panel.tables, [10])
    past, future = scaler.covariates(panel, panel.tables[0], slice(None), DAYS)
    np.testing.assert_allclose(past[:, 0], (4.5 - ROWS) / ROWS[:10].std())
    np.testing.assert_allclose(future[:, 0], (ROWS - 4.5) / ROWS[:10].std())
    np.testing.assert_array_equal(future[:, 1:], calendar(DAYS))
    constant = Scaler.fit(read_panel(wide().assign(promo=50.0), Reading(**BOTH)).tables, [10])
    assert (constant.mean[-1], constant.scale[-1]) == (50, 50)
    week = pd.date_range("2024-01-01", periods=7 * 24, freq="h")  # a Monday
    hour, weekday, month = calendar(week).T
    assert abs(hour.mean()) < 1e-12 and 0.9 < hour.std() < 1.2 and 0.9 < weekday.std() < 1.3
    assert (np.diff(weekday[::24]) > 0).all() and (month == -np.sqrt(3)).all()
    numbers = wide().assign(date=np.arange(20))
    assert "no hour, weekday and month" in refusal(read_panel, numbers, Reading(calendar=True))


@pytest.mark.parametrize("kind", ["frame", "csv", "zone", "numbers", "long"])
def test_known_ahead(tmp_path, kind):
    """Rows in any order, and more than are needed."""
    source, future = wide(), pd.concat([wide()[["date", "promo"]], ahead()]).iloc[::-1]
    if kind == "long":
        source = long()
        rows = [ahead().rename(columns={"date": "ds"}).assign(unique_id=name) for name in "ts"]
        future = pd.concat(rows)
        future.loc[future["unique_id"] == "t", "promo"] += 10
    if kind == "zone":
        source["date"] = source["date"].dt.tz_localize("Europe/Paris")
        future["date"] = future["date"].dt.tz_localize("Europe/Paris").dt.tz_convert("UTC")
    if kind == "numbers":
        source["date"], future["date"] = np.arange(20), np.arange(24)[::-1]
    if kind == "csv":
        source, future = written(tmp_path, source), written(tmp_path, future, "y.csv")
    panel = with_future(read_panel(source, Reading(**BOTH)), future, 4)
    for number, table in enumerate(panel.tables):
        expected = np.arange(1.5, 5) + 10 * number
        assert table.future.values[20:, 0].tolist() == expected.tolist()
        assert len(table.past.dates) == 20


@pytest.mark.parametrize(
    ("future", "expected"),
    [
        (ahead().drop(columns="promo"), "2024-01-21: no such column; it has date"),
        (ahead()[:2], "2024-01-23: no row of this step (1 more of the steps to forecast)"),
        (ahead(NEXT + pd.Timedelta("1h")), "2024-01-21: no row of this step (3 more"),
        (ahead([*NEXT, NEXT[2]]), "2024-01-23: stands there twice"),
        (ahead(promo=[1, 2, np.nan, 4]), "2024-01-23: a missing value"),
        (ahead(promo=[1, np.inf, 3, 4]), "2024-01-22: an infinite value"),
        (ahead(promo=[1, "x", 3, 4]), "2024-01-22: 'x' is not a number"),
    ],
    ids=["column", "short", "not aligned", "twice", "missing", "infinite", "text"],
)
def test_what_is_amiss_ahead(tmp_path, future, expected):
    assert f"futr_df: series a, b, column promo, {expected}" in refused(future)
    path = written(tmp_path, future)
    if "infinite" not in expected:
        assert f"{path}: series a, b, column promo, {expected}" in refused(path)
    of_both = [future.rename(columns={"date": "ds"}).assign(unique_id=name) for name in "st"]
    of_both[0] = ahead().rename(columns={"date": "ds"}).assign(unique_id="s")
    if "no such column" not in expected:
        message = refused(pd.concat(of_both), long())
        assert f"futr_df: series t, column promo, {expected}" in message


def test_what_is_amiss_in_a_table(tmp_path, capsys):
    reading = Reading(**BOTH)
    message = refusal(read_panel, wide().drop(columns="promo"), reading)
    assert "no column promo, which is a covariate; choose among a, temp, b" in message
    assert "column promo, row 3" in refusal(
        read_panel, wide().assign(promo=[0, 0, "x", *ROWS[3:]]), reading
    )
    spoilt = long()
    spoilt.loc[25, "promo"] = np.nan
    assert "series t, column promo, row 26" in refusal(read_panel, spoilt, reading)
    filled = read_panel(spoilt, Reading(**BOTH, fill_missing="linear"))
    assert filled.tables[1].future.values[5, 0] == 6
    spoilt.loc[[3, 4], "promo"] = np.nan
    capsys.readouterr()
    assert read_panel(spoilt, Reading(**BOTH, fill_missing="linear")).filled == 3
    assert "values filled: 3 (promo 3, the first in row 4" in capsys.readouterr().out
    assert "no column besides date and the covariates" in refusal(
        read_panel, wide().drop(columns=["a", "b"]), reading
    )
    rows_ahead = written(tmp_path, pd.concat([wide(), ahead(temp=0.0)]))
    for how in (None, "ffill"):
        message = refusal(read_panel, rows_ahead, Reading(**BOTH, fill_missing=how))
        assert "column a, row 21 (line 22)" in message and "the file of --future" in message
    assert "no covariates that are known ahead" in refusal(
        with_future, read_panel(wide()), ahead(), 4
    )
