"""CSVs are read in all their spellings, or refused with one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider.csv_file import SeriesTable, csv_by_chunks, read_series
from data_provider.timestamps import (
    format_timestamps,
    future_dates,
    irregular_steps,
    parse_timestamps,
    season_length,
)
from utils.errors import UserError

GOOD = "date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n2020-01-03,5,6\n"


def write(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD.replace("\n", "\r\n").replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ";").replace(";1;", ";1,0;").replace(";3;", ';"3,00";'),
        GOOD.replace("date,a,b", "date, a , b"),
        "a,date,b\n1,2020-01-01,2\n3,2020-01-02,4\n5,2020-01-03,6\n",
        GOOD.replace("2020-01-0", "2020/1/").replace(",1,2", " 0:00,1,2"),
        GOOD.replace("2020-01-02", "2020-01-02 00:00:00"),
        GOOD.replace(",1,", "T00:00:00+00:00,1,").replace(",3,", "T02:00:00+02:00,3,"),
    ],
)
def test_spellings(tmp_path, text):
    table = read_series(write(tmp_path, text))
    assert table.columns == ["a", "b"]
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4], [5, 6]])
    assert list(table.dates.day) == [1, 2, 3]


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "n/a", "-1.#IND"])
def test_names_that_pandas_takes_for_missing(tmp_path, name):
    assert read_series(write(tmp_path, f"date,{name},b\n2020-01-01,1,2\n")).columns == [name, "b"]


@pytest.mark.parametrize("number", ["18446744073709551615", "-99999999999999999999"])
def test_whole_numbers_beyond_64_bits(tmp_path, number):
    table = read_series(write(tmp_path, f"date,a\n2020-01-01,{number}\n2020-01-02,-1\n"))
    assert table.values[:, 0].tolist() == [float(number), -1]


def test_day_before_month(tmp_path):
    text = "date,a\n" + "".join(f"{day:02}/01/2020,{day}\n" for day in range(1, 20))
    dates = read_series(write(tmp_path, text)).dates
    assert list(dates.day) == list(range(1, 20))
    assert set(dates.month) == {1}


def test_months_of_a_day_first_file(tmp_path):
    months = pd.date_range("1960-01-01", periods=30, freq="MS").strftime("%d/%m/%Y")
    text = "date,a\n" + "".join(f"{month},1\n" for month in months)
    dates = read_series(write(tmp_path, text)).dates
    assert list(dates) == list(pd.date_range("1960-01-01", periods=30, freq="MS"))


@pytest.mark.parametrize(
    ("stamps", "offset", "last"),
    [
        (["2020-01-01 00:00", "2020-01-01 01:00"], "", "2020-01-01 01:00"),
        (["2020-01-01 00:00+02:00", "2020-01-01 01:00+02:00"], "+02:00", "2020-01-01 01:00"),
        (["2020-03-29 01:00+01:00", "2020-03-29 03:00+02:00"], "+02:00", "2020-03-29 03:00"),
        (["2020-10-25 02:00+0200", "2020-10-25 02:00+0100"], "+01:00", "2020-10-25 02:00"),
        (["2020-03-29T00:00+01:00", "2020-03-30T00:00+02:00"], "+02:00", "2020-03-30"),
        (["2020-03-28T23:00Z", "2020-03-29T23:00Z"], "+00:00", "2020-03-29 23:00"),
    ],
)
def test_offsets(tmp_path, stamps, offset, last):
    text = "date,a\n" + "".join(f"{stamp},1\n" for stamp in stamps)
    table = read_series(write(tmp_path, text))
    assert table.offset == offset
    assert table.dates[-1] == pd.Timestamp(last)


def test_a_duplicate_timestamp_is_reported(tmp_path, capsys):
    text = "date,a\n2020-01-01,1\n2020-01-02,1\n2020-01-02,1\n2020-01-03,1\n"
    read_series(write(tmp_path, text))
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert "row 3 (line 4): duplicate timestamp 2020-01-02" in warning
    assert warning.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["empty"]),
        ("date,a\n", ["no rows"]),
        ("date\n2020-01-01\n", ["no column besides date"]),
        (GOOD.replace("date", "time"), ["no column named date", "time, a, b"]),
        (GOOD.replace(",4", ",four"), ["column b", "row 2", "line 3", "'four' is not a number"]),
        (GOOD.replace(",4", ',"4,5"'), ["column b", "row 2", "'4,5'"]),
        (GOOD.replace(",2\n", ",True\n").replace(",4", ",9"), ["column b", "row 1", "'True'"]),
        (GOOD.replace(",2\n", ",True\n").replace(",4", ",False").replace(",6", ",True"), ["True"]),
        (GOOD.replace("3,4", "3,"), ["column b", "row 2", "missing value"]),
        (GOOD.replace("3,4", ",").replace("5,6", "5,"), ["column a", "row 2", "2 more"]),
        (GOOD.replace("5,6", "inf,6"), ["column a", "row 3", "infinite"]),
        (GOOD.replace("2020-01-02", "yesterday"), ["column date", "row 2", "'yesterday'"]),
        (GOOD.replace("2020-01-02", ""), ["column date", "row 2"]),
        (GOOD.replace("2020-01-02", "2019-01-02"), ["column date", "row 2", "sort"]),
        (GOOD.replace("3,4", "3,4,9,9"), ["not a CSV table"]),
        (GOOD.replace("2020-01-02", "\n2020-01-02").replace(",4", ",x"), ["row 2 (line 4)"]),
        (GOOD.replace("3,4", "3,4e40"), ["column b", "row 2", "too large"]),
        (GOOD.replace("a,b", "a, a"), ["2 columns are named a"]),
        (GOOD.replace("date", ",date").replace("\n2", "\n0,2"), ["column 1 has no name"]),
        (GOOD.replace(",", "|"), ["separated by '|'", "commas"]),
        (GOOD.replace(",", ";").replace(";1;", ";1.5;").replace(";2\n", ";2,5\n"), ["'2,5'"]),
        (GOOD.replace(",", ";").replace(";1;", ";1.000,5;"), ["column a", "'1.000,5'"]),
        (GOOD.replace("a", "a\0"), ["not a text file"]),
        (GOOD.replace(",2\n", ",2,7\n").replace(",4", ",4,7").replace(",6", ",6,7"), ["header"]),
    ],
)
def test_refused(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_series(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in [str(path), *expected]:
        assert part in message


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_series(tmp_path / "none.csv")


def table_of(dates) -> SeriesTable:
    return SeriesTable(Path("x.csv"), pd.DatetimeIndex(dates), "", ["a"], np.zeros((len(dates), 1)))


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (pd.date_range("2020-01-01", periods=50, freq="15min"), "2020-01-01 12:30"),
        (pd.date_range("2019-01-31", periods=12, freq="ME"), "2020-01-31"),
        (pd.date_range("2019-01-01", periods=12, freq="MS"), "2020-01-01"),
        (pd.date_range("2020-01-06", periods=10, freq="B"), "2020-01-20"),
        (pd.date_range("2020-01-01", periods=2, freq="h"), "2020-01-01 02:00"),
    ],
)
def test_future_dates(dates, expected):
    future = future_dates(table_of(dates), 3)
    assert len(future) == 3
    assert future[0] == pd.Timestamp(expected)


def test_future_of_irregular_dates():
    dates = pd.date_range("2020-01-01", periods=50, freq="h").delete([48]).insert(3, "2020-01-01")
    assert future_dates(table_of(dates.sort_values()), 1)[0] == pd.Timestamp("2020-01-03 02:00")


@pytest.mark.parametrize(
    ("freq", "gap"), [("B", 27), ("B", 29), ("MS", 27), ("ME", 29), ("QE", 3), ("D", 3)]
)
def test_future_of_calendar_dates_with_a_gap(freq, gap):
    """A missing row, also as the last step, does not turn months into 31 days."""
    dates = pd.date_range("2020-01-01", periods=31, freq=freq).delete(gap)
    assert future_dates(table_of(dates), 2)[0] == pd.date_range(dates[-1], periods=2, freq=freq)[1]


def test_future_of_a_series_that_changes_its_step():
    hours = pd.date_range("2020-01-01", periods=2000, freq="h")
    minutes = pd.date_range(hours[-1], periods=200, freq="15min")[1:]
    assert future_dates(table_of(hours.append(minutes)), 1)[0] == minutes[-1] + pd.Timedelta(
        "15min"
    )


def test_future_needs_a_step():
    with pytest.raises(UserError, match="two different"):
        future_dates(table_of(["2020-01-01", "2020-01-01"]), 1)


def test_decimal_commas_are_reported(tmp_path, capsys):
    text = 'date;"a,x";b\n01.01.2020;-1,5;2\n02.01.2020;3,25e1;4\n'
    table = read_series(write(tmp_path, text))
    assert table.columns == ["a,x", "b"]
    np.testing.assert_array_equal(table.values, [[-1.5, 2], [32.5, 4]])
    output = capsys.readouterr().out
    assert output.endswith("separated by semicolons, numbers with decimal commas\n")


GAPS = "date,a,b,c\n2020-01-01,1,1,1\n2020-01-02,2,1,inf\n2020-01-03,NaN,1,-inf\n" + (
    "2020-01-04,nan,1,4\n2020-01-05,5,1,\n"
)


@pytest.mark.parametrize(
    ("fill", "a", "c"),
    [("linear", [1, 2, 3, 4, 5], [1, 2, 3, 4, 4]), ("ffill", [1, 2, 2, 2, 5], [1, 1, 1, 4, 4])],
)
def test_filled(tmp_path, capsys, fill, a, c):
    table = read_series(write(tmp_path, GAPS), fill)
    np.testing.assert_allclose(table.values, np.stack([a, [1] * 5, c], axis=1))
    assert table.filled == 5
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    for part in ("filled: 5", "a 2, the first in row 3 (line 4)", "c 3, the first in row 2", fill):
        assert part in output
    assert "b " not in output.partition("(a")[2].partition(")")[0]


def test_nothing_to_fill_reports_nothing(tmp_path, capsys):
    assert read_series(write(tmp_path, GOOD), "linear").filled == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace(",2\n", ",\n").replace(",4", ",inf").replace(",6", ","), "column b: not a"),
        (GOOD.replace("3,4", ",4e40"), "too large"),
        (GOOD.replace(",4", ",four"), "'four' is not a number"),
        (GOOD.replace("2020-01-02", ""), "a missing date"),
    ],
)
def test_what_can_not_be_filled(tmp_path, text, expected):
    with pytest.raises(UserError, match=expected):
        read_series(write(tmp_path, text), "linear")


FREQUENCIES = ["ME", "MS", "B", "YS", "QE", "BME", "BQE", "W", "15min", "h", "2D", "BYE"]


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_irregular_steps(freq):
    dates = pd.date_range("2000-01-03", periods=100, freq=freq)
    assert not irregular_steps(dates)[0].any()
    assert not irregular_steps(dates.insert(40, dates[40]))[0].any()
    assert np.flatnonzero(irregular_steps(dates.delete([40]))[0]).tolist() == [39]


def test_the_first_irregular_timestamp_is_reported(tmp_path, capsys):
    hours = pd.date_range("2020-01-01", periods=30, freq="h").delete([10, 20])
    read_series(write(tmp_path, "date,a\n" + "".join(f"{hour},1\n" for hour in hours)))
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "row 11 (line 12)" in warning
    assert "2020-01-01 09:00:00 is followed by 2020-01-01 11:00:00" in warning
    assert "the usual step is h;" in warning
    assert "--fill_missing linear or ffill inserts missing rows (1 more such rows)" in warning


@pytest.mark.parametrize(
    ("text", "first", "offset"),
    [
        ("0 1 2 5", "1970-01-01 00:00:00", None),
        ("-7 10 27", "1969-12-31 23:59:53", None),
        ("1000 1001", "1970-01-01 00:16:40", None),
        ("1990 1991", "1990-01-01", ""),
        ("20200131 20200201", "2020-01-31", ""),
    ],
)
def test_whole_numbers(text, first, offset):
    """They count steps, unless they are years or dates."""
    column = pd.Series(text.split())
    dates, found = parse_timestamps(Path("x.csv"), column)
    assert (dates[0], found) == (pd.Timestamp(first), offset)
    if offset is None:
        assert format_timestamps(dates, offset).tolist() == [int(word) for word in column]


@pytest.mark.parametrize(
    ("first", "step", "season"),
    [("2020-01-01", "h", 24), ("2020-01-01", "D", 7), ("2020-01-01", "W", 52), (100, 1, 0)],
)
def test_season(tmp_path, first, step, season):
    """Of whole numbers it is unknown."""
    whole = isinstance(first, int)
    dates = range(first, first + 30) if whole else pd.date_range(first, periods=30, freq=step)
    pd.DataFrame({"date": dates, "x": range(30)}).to_csv(tmp_path / "x.csv", index=False)
    assert season_length(read_series(tmp_path / "x.csv")) == season


def test_text_in_another_encoding_is_refused(tmp_path):
    """Its names would be others in the results."""
    path = write(tmp_path, "date,größe\n2020-01-01,1\n", "latin-1")
    with pytest.raises(UserError, match="not in UTF-8: save it as UTF-8"):
        read_series(path)
    rows = "Aachen,2020-01-01,1\n" * 50_000 + "Köln,2020-01-01,1\n"  # far from the start
    path = write(tmp_path, "unique_id,ds,y\n" + rows, "latin-1")
    with pytest.raises(UserError, match="not in UTF-8: save it as UTF-8"):
        list(csv_by_chunks(path)(1000))
