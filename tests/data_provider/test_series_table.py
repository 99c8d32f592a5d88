"""What people's own tables have: several series in a column, late columns, gaps, other names."""

import numpy as np
import pandas as pd
import pytest

from data_provider.csv_file import read_series
from data_provider.series_table import series_table
from data_provider.timestamps import format_timestamps, future_dates
from utils.errors import UserError

DAYS = pd.date_range("2024-01-01", periods=30, freq="D")


def written(tmp_path, frame: pd.DataFrame, **options):
    path = tmp_path / "x.csv"
    frame.to_csv(path, index=False, **options)
    return path


def refusal(path, fill=None) -> str:
    with pytest.raises(UserError) as caught:
        read_series(path, fill)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def long_table(ids, dates=DAYS) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"id": i, "date": dates, "y": np.sin(np.arange(len(dates)))}) for i in ids
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("ids", [(1, 2), (7, 1, 3), ("a", "b"), (10**12, 10**12 + 1)])
@pytest.mark.parametrize("order", ["by id", "by date", "shuffled"])
def test_a_long_table_is_refused(tmp_path, ids, order):
    """And the remedy in its message gives the wide table."""
    frame = long_table(ids)
    if order == "by date":
        frame = frame.sort_values("date", kind="stable")
    elif order == "shuffled":
        frame = frame.sample(frac=1, random_state=0)
    path = written(tmp_path, frame)
    for fill in (None, "linear"):
        message = refusal(path, fill)
        assert "column id: " in message
        assert "long table" in message
        assert "CALFForecaster" in message
    code = message.partition("in Python by ")[2].partition(", or use")[0]
    code = code.replace("'x.csv'", repr(str(path))).replace("wide.csv", str(tmp_path / "wide.csv"))
    eval(code, {"pandas": pd})
    table = read_series(tmp_path / "wide.csv")
    assert table.columns == sorted(map(str, ids), key=lambda name: (len(name), name))
    assert table.dates.equals(pd.DatetimeIndex(DAYS).as_unit(table.dates.unit))


def test_long_tables_of_other_shapes(tmp_path):
    later = long_table([1], DAYS + pd.Timedelta("1h"))
    apart = pd.concat([later, long_table([2], DAYS[:25])])  # no date twice, but they go back
    assert "column id: " in refusal(written(tmp_path, apart))
    two = pd.concat([long_table([1, 2]).assign(shop=shop) for shop in (1, 2)])
    message = refusal(written(tmp_path, two, sep=";"))
    assert "columns id and shop: " in message or "columns shop and id: " in message
    assert "sep=';'" in message
    partly = pd.concat([long_table(["a"], DAYS[:20]), long_table(["b"], DAYS[15:])])
    assert "column id: " in refusal(written(tmp_path, partly))


@pytest.mark.parametrize("kind", [float, int])
def test_a_duplicate_in_a_wide_table_is_no_long_table(tmp_path, capsys, kind):
    """As where clocks are set back; channels of few whole numbers tell these rows apart too."""
    hours = pd.date_range("2024-10-20", periods=300, freq="h").insert(
        170, pd.Timestamp("2024-10-27")
    )
    hours = hours.sort_values()
    frame = pd.DataFrame({"date": hours, "a": (np.arange(301) % 7).astype(kind)})
    assert len(read_series(written(tmp_path, frame)).values) == 301
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "duplicate timestamp 2024-10-27" in warning


def test_unsorted_wide_table(tmp_path):
    frame = pd.DataFrame({"date": DAYS[::-1], "a": np.arange(30) % 2})
    assert "sort the file by date" in refusal(written(tmp_path, frame))


@pytest.mark.parametrize("fill", ["linear", "ffill"])
def test_a_column_that_starts_later(tmp_path, fill):
    frame = pd.DataFrame({"date": DAYS, "a": 1.0, "b": 2.0, "c": 3.0})
    frame.loc[:9, "b"] = np.nan
    frame.loc[:4, "c"] = np.nan
    message = refusal(written(tmp_path, frame), fill)
    for part in ("column b", "row 11 (line 12), 2024-01-11", "cut the rows before 2024-01-11"):
        assert part in message
    table = read_series(written(tmp_path, frame[10:]), fill)
    assert table.filled == 0
    frame.loc[:, ["b", "c"]] = 1.0
    frame.loc[25:, "b"] = np.nan
    assert read_series(written(tmp_path, frame), fill).filled == 5  # the end is filled


FREQUENCIES = ["h", "15min", "D", "B", "W-WED", "MS", "ME", "QE", "YE", "2D"]


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_missing_rows_are_inserted(tmp_path, capsys, freq):
    dates = pd.date_range("2020-01-01", periods=40, freq=freq)
    frame = pd.DataFrame({"date": dates, "a": np.arange(40.0), "b": np.arange(40.0) ** 2})
    frame.loc[30, "b"] = np.nan
    path = written(tmp_path, frame.drop(index=[13, 14, 25]))
    table = read_series(path, "linear")
    assert table.dates.equals(dates.as_unit(table.dates.unit))
    np.testing.assert_allclose(table.values[:, 0], np.arange(40), rtol=1e-12)
    assert table.values[30, 1] == (29**2 + 31**2) / 2
    assert table.filled == 3 * 2 + 1
    inserted, filled = capsys.readouterr().out.splitlines()
    assert "rows inserted where timestamps are missing: 3, the first after row 13 (line 14)" in (
        inserted
    )
    assert "filled: 1 (b 1, the first in row 28 (line 29))" in filled
    values = read_series(path, "ffill").values
    assert values[12:16, 0].tolist() == [12, 12, 12, 15]
    assert len(read_series(written(tmp_path, frame.drop(columns="b").drop(index=5))).values) == 39


def test_whole_numbers_with_gaps(tmp_path):
    frame = pd.DataFrame({"date": [0, 30, 60, 120, 150, 180], "a": [0.0, 1, 2, 4, 5, 6]})
    table = read_series(written(tmp_path, frame), "linear")
    assert format_timestamps(table.dates, table.offset).tolist() == list(range(0, 181, 30))
    assert table.values[:, 0].tolist() == list(range(7))


def test_duplicates_stay_where_rows_are_inserted(tmp_path):
    """As of clocks that are set forth and back."""
    hours = (
        pd.date_range("2024-01-01", periods=50, freq="h")
        .delete([20])
        .insert(30, "2024-01-02 06:00")
    )
    frame = pd.DataFrame({"date": hours.sort_values(), "a": np.arange(50.0)})
    table = read_series(written(tmp_path, frame), "linear")
    assert len(table.dates) == 51
    assert table.values[[19, 20, 21], 0].tolist() == [19, 19.5, 20]
    np.testing.assert_array_equal(table.values[21:, 0], np.arange(20, 50))
    assert table.dates.duplicated().sum() == 1


@pytest.mark.parametrize(
    ("dates", "row"),
    [
        (DAYS.delete([12]).insert(12, pd.Timestamp("2024-01-13 07:00")), "row 13"),  # off the grid
        (pd.DatetimeIndex(np.cumsum(np.arange(1, 31)) * 86400 * 10**9), "row 3"),
        (DAYS.append(pd.DatetimeIndex(["2204-02-01"])), "row 31"),  # a slip of the pen
        (DAYS[[0, 1, 2, 4, 5, 7, 10, 14, 16, 19, 20]], "row 4"),  # most steps are no single day
    ],
)
def test_too_irregular_to_be_filled(tmp_path, capsys, dates, row):
    frame = pd.DataFrame({"date": dates, "a": 1.0})
    path = written(tmp_path, frame)
    assert len(read_series(path).values) == len(dates)
    assert "irregular timestamps" in capsys.readouterr().err
    message = refusal(path, "ffill")
    assert row in message
    assert "evenly spaced" in message


def test_daylight_saving_time_in_a_file(tmp_path, capsys):
    """Steps are regular, and a forecast goes on in the last row's offset, hourly and daily."""
    for freq, step in (("h", "2024-04-02 01:00:00+02:00"), ("D", "2024-04-03 00:00:00+02:00")):
        dates = pd.date_range("2024-03-25", "2024-04-02", freq=freq, tz="Europe/Berlin")
        stamps = [stamp.isoformat() for stamp in dates]
        table = read_series(written(tmp_path, pd.DataFrame({"date": stamps, "a": 1.0})))
        assert table.offset == "+02:00"
        assert capsys.readouterr().err == ""
        future = format_timestamps(future_dates(table, 3), table.offset, table.date_only)
        assert future[0] == step
        expected = pd.date_range(dates[-1], periods=4, freq=freq)[1:]
        assert (pd.to_datetime(future, utc=True) == expected).all()


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["2024-01-01", "2024-01-02"], "2024-01-03"),
        (["2024-01-01 00:00", "2024-01-02 00:00"], "2024-01-03 00:00:00"),
        (["01.01.2024", "02.01.2024", "03.01.2024"], "2024-01-04"),
        (["2021", "2022", "2023"], "2024-01-01"),
        (["20240101", "20240102"], "2024-01-03"),
        ([5, 7, 9], "11"),
        ([1704067200, 1704070800], "2024-01-01 02:00:00+00:00"),
        ([1704067200000, 1704067260000], "2024-01-01 00:02:00+00:00"),
    ],
)
def test_forecasts_are_dated_as_the_file(tmp_path, dates, first):
    """Without a time of day where the file has none; epoch times are dates, others count steps."""
    table = read_series(written(tmp_path, pd.DataFrame({"date": dates, "a": 1.0})))
    future = format_timestamps(future_dates(table, 2), table.offset, table.date_only)
    assert str(future[0]) == first


def test_weekly_table_with_month_first_dates_and_decimal_commas(tmp_path):
    weeks = pd.date_range("2020-01-06", periods=60, freq="W-MON")
    frame = pd.DataFrame({"date": weeks.strftime("%m/%d/%Y"), "a": np.arange(60) + 0.5, "b": 0.25})
    table = read_series(written(tmp_path, frame, sep=";", decimal=","))
    assert table.dates.equals(weeks.as_unit(table.dates.unit))
    np.testing.assert_array_equal(table.values, frame[["a", "b"]])
    assert future_dates(table, 1)[0] == weeks[-1] + pd.Timedelta("7D")


@pytest.mark.parametrize("name", ["ds", "timestamp", "datetime", "time", "Date", "DATE"])
@pytest.mark.parametrize("sep", [",", ";"])
def test_another_name_of_the_dates(tmp_path, name, sep):
    path = written(tmp_path, pd.DataFrame({name: DAYS, "a": 1.0}), sep=sep)
    assert f"rename {name} to date" in refusal(path)


def test_nameless_index(tmp_path):
    path = tmp_path / "x.csv"
    pd.DataFrame({"a": 1.0}, index=DAYS).to_csv(path)
    assert "column 1 has no name; if it has the dates, name it date" in refusal(path)


def test_truth_values(tmp_path):
    path = written(tmp_path, pd.DataFrame({"date": DAYS, "a": 1.0, "open": True}))
    message = refusal(path)
    for part in ("column open", "'True'", "df['open'].astype(int)"):
        assert part in message


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".zip"])
def test_other_formats(tmp_path, suffix, renamed):
    """The message has the line that converts the file."""
    frame = pd.DataFrame({"date": DAYS, "a": 1.0})
    path = tmp_path / f"x{suffix}"
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    if renamed:
        path = path.rename(tmp_path / "renamed.csv")
    message = refusal(path)
    assert f"a {suffix} file" in message
    reader = {".xlsx": "read_excel", ".parquet": "read_parquet", ".zip": "unpack it"}[suffix]
    assert reader in message
    if suffix != ".zip":
        assert f"({path.name!r}).to_csv('{path.stem}.csv', index=False)" in message


def test_a_frame_in_memory(tmp_path):
    """It is read like the file; messages name the frame, column and row."""
    frame = pd.DataFrame({"date": DAYS, "a": np.arange(30.0), "b": 1})
    expected = read_series(written(tmp_path, frame))
    before = frame.copy()
    table = series_table(frame, "the frame")
    np.testing.assert_array_equal(table.values, expected.values)
    assert table.dates.equals(expected.dates.as_unit(table.dates.unit))
    frame.loc[7, "a"] = np.nan
    with pytest.raises(UserError, match=r"the frame: column a, row 8 \(iloc 7\): .*fill_missing="):
        series_table(frame, "the frame")
    assert series_table(frame.drop(index=9), "the frame", "linear").filled == 3
    pd.testing.assert_frame_equal(frame.drop(index=7), before.drop(index=7))
