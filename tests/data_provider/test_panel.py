"""Files and frames, long and wide, become panels, or are refused with one line."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data_provider.panel import Reading
from data_provider.reader import read_panel
from tests.conftest import refusal, says
from tests.data_provider import DAYS, future, long, written

OFF, LATER = DAYS[12] + pd.Timedelta("7h"), DAYS[19] + pd.Timedelta("30000D")
GOOD = long({"a": DAYS, "b": DAYS})
TEXT = "date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n2020-01-03,5,6\n"


def refused(source, *parts, **reading) -> str:
    """The one line that refuses a source, which has these parts."""
    message = refusal(read_panel, source, Reading(**reading))
    says(message, *parts)
    return message


def wide(**columns) -> pd.DataFrame:
    return pd.DataFrame({"date": DAYS, "a": 1.0, "b": 2.0}).assign(**columns)


# Wide tables


@pytest.mark.parametrize("kind", ["csv", "semicolons", "parquet", "frame"])
def test_a_table_is_the_same_from_any_source(tmp_path, kind):
    source = wide(a=np.arange(20.0), b=np.sin(np.arange(20)))
    expected = source.copy()
    if kind == "parquet":
        source.to_parquet(tmp_path / "x.parquet")
        source = tmp_path / "x.parquet"
    elif kind != "frame":
        layout = {"sep": ";", "decimal": ","} if kind == "semicolons" else {}
        source = str(written(tmp_path, source, **layout))
    panel = read_panel(source)
    assert (panel.mode, panel.names, panel.columns) == ("channels", ["a", "b"], ["a", "b"])
    assert (panel.long, panel.filled, panel.reading.time_col) == (False, 0, "date")
    assert panel.tables[0].dates.tolist() == DAYS.tolist()
    np.testing.assert_array_equal(panel.tables[0].values, expected[["a", "b"]])
    if kind == "frame":
        pd.testing.assert_frame_equal(source, expected)


def test_columns_of_a_frame_of_any_kind():
    frame = wide(b=[Decimal("1.5")] * 20, a=pd.array([1] * 20, dtype="Int64")).rename(
        columns={"date": "when", "b": 3}
    )
    panel = read_panel(frame, Reading(time_col="when"))
    assert (panel.names, panel.columns) == (["a", 3], ["a", "3"])
    assert panel.tables[0].values[3].tolist() == [1, 1.5]
    assert panel.only([3, "a"]).tables[0].values[3].tolist() == [1.5, 1]


@pytest.mark.parametrize("long_one", [True, False])
def test_unsorted_rows_are_sorted(tmp_path, capsys, long_one):
    frame = GOOD if long_one else wide(a=np.arange(20), b=np.arange(20))
    panel = read_panel(written(tmp_path, frame.sample(frac=1, random_state=0)))
    np.testing.assert_array_equal(panel.tables[0].values[:, 0], np.arange(20))
    assert panel.tables[0].dates.tolist() == DAYS.tolist()
    captured = capsys.readouterr()
    assert captured.out.endswith("rows are not in the order of time: sorted\n")
    assert (captured.out.count("\n"), captured.err) == (1, "")


# Repeated timestamps


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("long_one", [True, False])
def test_repeated_timestamps(tmp_path, capsys, in_file, long_one):
    """Refused, with both rows; one of them is kept if asked to."""
    rows = [*DAYS[:3], DAYS[1], *DAYS[3:]]
    frame = pd.DataFrame({"ds": rows, "y": np.arange(21) + 0.5})
    row, series = 4, ""
    if long_one:
        frame = pd.concat([long({"z": DAYS}), frame.assign(unique_id="s")])
        row, series = 24, "series s"
    source = written(tmp_path, frame) if in_file else frame
    place, other = (
        f"row {n} (line {n + 1})" if in_file else f"row {n} (iloc {n - 1})" for n in (row, row - 2)
    )
    repeated = f"column ds, {place}: 2024-01-02 stands in {other} already"
    refused(source, series, repeated, "duplicates")
    for keep, value in (("first", 1.5), ("last", 3.5)):
        capsys.readouterr()
        panel = read_panel(source, Reading(duplicates=keep))
        assert panel.tables[0].dates.tolist() == DAYS.tolist()
        assert panel.tables[0].values[:3, -1].tolist() == [0.5, value, 2.5]
        assert "rows that repeat a timestamp left out: 1" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [float, int])
def test_clocks_that_are_set_back(tmp_path, kind):
    """A few repeated dates are no sign of a long table, though whole numbers tell them apart."""
    hours = pd.date_range("2024-10-20", periods=300, freq="h").insert(170, "2024-10-27")
    frame = pd.DataFrame({"date": hours.sort_values(), "a": (np.arange(301) % 7).astype(kind)})
    path = written(tmp_path, frame)
    assert "row 170 (line 171): 2024-10-27 stands in row 169 (line 170) already" in refused(path)
    assert len(read_panel(path, Reading(duplicates="last")).tables[0].dates) == 300
    both = Reading(duplicates="first", fill_missing="linear")
    assert len(read_panel(written(tmp_path, frame.drop(index=20)), both).tables[0].dates) == 300


def test_the_published_weather_set(real_data, tmp_path, capsys):
    """Both rows of its repeated date are kept; of any other file, none is."""
    path = real_data / "weather" / "weather.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert len(read_panel(path).tables[0].dates) == 52_696
    assert "row 19045 (line 19046): both rows are used" in capsys.readouterr().out
    head = path.read_bytes().splitlines(keepends=True)[:19_050]
    assert "stands in row 19044 (line 19045) already" in refused(written(tmp_path, b"".join(head)))


# Missing rows and values


def test_missing_rows_are_warned_about(tmp_path, capsys):
    """They are treated as evenly spaced, and inserted if asked to."""
    hours = pd.date_range("2020-01-01", periods=30, freq="h").delete([10, 20])
    path = written(tmp_path, pd.DataFrame({"date": hours, "a": np.arange(28.0)}))
    assert len(read_panel(path).tables[0].values) == 28
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    step = "row 11 (line 12): 2020-01-01 11:00:00 follows 2020-01-01 09:00:00, but the usual step"
    says(error, f"warning: {path}: ", step, " h (1 more such rows); rows are treated as evenly")
    panel = read_panel(path, Reading(fill_missing="linear"))
    assert panel.tables[0].values[9:12, 0].tolist() == [9, 9.5, 10]
    assert (len(panel.tables[0].dates), panel.filled) == (30, 2)
    out, error = capsys.readouterr()
    assert error == ""
    says(out, "timestamps are missing: 2, the first after row 10 (line 11)", "usual step h")


GAPS = "date,a,b,c\n2020-01-01,1,1,1\n2020-01-02,2,1,inf\n2020-01-03,NaN,1,-inf\n" + (
    "2020-01-04,nan,1,4\n2020-01-05,5,1,\n"
)


@pytest.mark.parametrize(
    ("fill", "a", "c"),
    [("linear", [1, 2, 3, 4, 5], [1, 2, 3, 4, 4]), ("ffill", [1, 2, 2, 2, 5], [1, 1, 1, 4, 4])],
)
def test_filled(tmp_path, capsys, fill, a, c):
    panel = read_panel(written(tmp_path, GAPS), Reading(fill_missing=fill))
    np.testing.assert_allclose(panel.tables[0].values, np.stack([a, [1] * 5, c], axis=1))
    assert panel.filled == 5
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    says(output, "filled: 5", "a 2, the first in row 3 (line 4)", "c 3, the first in row 2", fill)
    assert "b " not in output.partition("(a")[2].partition(")")[0]


def test_late_columns_of_a_wide_table(tmp_path, capsys):
    """Nothing before a first value is filled: rows before the latest start are left out."""
    frame = wide(c=np.arange(20.0))
    frame.loc[:9, "b"] = np.nan
    frame.loc[:4, "c"] = np.nan
    frame.loc[15:, "a"] = np.nan
    path = written(tmp_path, frame)
    refused(path, "column a, row 16 (line 17): a missing value (4 more in the column)")
    starts = "it starts at 2024-01-11; fill_missing="
    refused(frame[["date", "b"]], "column b, row 1 (iloc 0): a missing value", starts)
    panel = read_panel(path, Reading(fill_missing="linear"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    says(line, "column b starts at 2024-01-11", "10")
    assert panel.tables[0].dates.tolist() == DAYS[10:].tolist()
    assert panel.filled == 5  # the end is filled
    assert panel.tables[0].values[:, 2].tolist() == list(range(10, 20))
    pooled = read_panel(path, Reading(fill_missing="linear", panel="pooled"))
    assert [len(table.dates) for table in pooled.tables] == [20, 10, 15]


def test_late_series_of_a_long_table(capsys):
    """Each starts at its first value, and is pooled where calendars then differ."""
    frame = GOOD.copy()
    frame.loc[(frame["unique_id"] == "b") & (frame["ds"] < DAYS[4]), "y"] = np.nan
    place = "series b, column y, row 21 (iloc 20): a missing value (3 more in the series)"
    refused(frame, place, "it starts at 2024-01-05")
    panel = read_panel(frame, Reading(fill_missing="linear"))
    assert "pooled, each series by itself, since series a has 20" in capsys.readouterr().out
    assert (panel.mode, [len(table.dates) for table in panel.tables]) == ("pooled", [20, 16])
    assert panel.filled == 0
    refused(frame, "panel='pooled'", fill_missing="linear", panel="channels")
    both = read_panel(frame[~frame["ds"].isin(DAYS[:6])], Reading(fill_missing="linear"))
    assert both.mode == "channels"


# Long tables


@pytest.mark.parametrize("columns", [("unique_id", "ds", "y"), ("shop", "day", "sales")])
def test_long_files(tmp_path, capsys, columns):
    """Ids are text as given; a line names columns that are not used."""
    id_col, time_col, target_col = columns
    frame = long({"001": DAYS, "01": DAYS, "NA": DAYS, "1.0": DAYS}).assign(price=1.0, note="x")
    frame = frame[["price", "unique_id", "ds", "y", "note"]]
    frame = frame.set_axis(["price", *columns, "note"], axis=1)
    reading = Reading() if id_col == "unique_id" else Reading(id_col=id_col, target_col=target_col)
    panel = read_panel(written(tmp_path, frame), reading)
    assert (panel.long, panel.mode) == (True, "channels")
    assert panel.names == panel.columns == ["001", "01", "NA", "1.0"]
    assert panel.reading.time_col == time_col
    np.testing.assert_array_equal(panel.tables[0].values, np.arange(20)[:, None].repeat(4, 1))
    assert capsys.readouterr().out.endswith("columns that are not used: price, note\n")


def test_ids_of_any_type():
    ids = [(1, "x"), "b", 3, 2.5, dt.date(2020, 1, 1)]
    panel = read_panel(long(dict.fromkeys(ids, DAYS)))
    assert panel.names == panel.tables[0].ids == ids
    assert panel.columns == [str(name) for name in ids]
    categories = GOOD.assign(unique_id=pd.Categorical(GOOD["unique_id"], ["c", "b", "a"]))
    assert read_panel(categories).names == ["a", "b"]


def test_pooled_or_channels(capsys):
    frame = long({"b": DAYS, "a": DAYS[5:], "c": DAYS[:9]}).sample(frac=1, random_state=3)
    panel = read_panel(frame)
    assert "pooled, each series by itself, since series" in capsys.readouterr().out
    order = list(dict.fromkeys(frame["unique_id"]))
    assert (panel.mode, panel.names) == ("pooled", order)
    assert [table.ids for table in panel.tables] == [[name] for name in order]
    assert [len(table.values) for table in panel.tables] == [
        {"a": 15, "b": 20, "c": 9}[name] for name in order
    ]
    assert all((np.diff(table.values[:, 0]) == 1).all() for table in panel.tables)
    assert future(panel, 2, order.index("c")).tolist() == DAYS[9:11].tolist()
    assert panel.only(["c", "a"]).names == [name for name in order if name != "b"]
    parts = (f"series {order[0]} has", "panel='pooled'", "cut", "2024-01-06 to 2024-01-20")
    refused(frame, *parts, panel="channels")
    asked = read_panel(GOOD, Reading(panel="pooled"))
    assert [table.ids for table in asked.tables] == [["a"], ["b"]]
    hours = pd.date_range("2024-01-01", periods=30, freq="h")
    panel = read_panel(long({"hourly": hours, "daily": DAYS}))
    following = [str(future(panel, 1, number)[0]) for number in (0, 1)]
    assert following == ["2024-01-02 06:00:00", "2024-01-21 00:00:00"]


def test_series_of_one_timestamp():
    """It takes the step of others."""
    assert future(read_panel(long({"a": DAYS[:1], "b": DAYS})), 1)[0] == DAYS[1]
    alone = long({"a": DAYS[:1]})
    assert "freq=" in refusal(future, read_panel(alone), 1)
    assert future(read_panel(alone, Reading(freq="MS")), 1)[0] == pd.Timestamp("2024-02-01")


def stacked(ids, dates=DAYS) -> pd.DataFrame:
    return long(dict.fromkeys(ids, dates)).set_axis(["date", "y", "id"], axis=1)[
        ["id", "date", "y"]
    ]


@pytest.mark.parametrize("ids", [(1, 2), (7, 1, 3), ("a", "b"), ("NA", "b"), (10**12, 10**12 + 1)])
@pytest.mark.parametrize("order", ["by id", "by date", "shuffled"])
def test_a_long_table_whose_id_is_not_named(tmp_path, ids, order):
    """Refused, and the remedy in its message reads it."""
    frame = stacked(ids)
    if order == "by date":
        frame = frame.sort_values("date", kind="stable")
    elif order == "shuffled":
        frame = frame.sample(frac=1, random_state=0)
    path = written(tmp_path, frame)
    for more in ({}, {"fill_missing": "linear"}, {"duplicates": "first"}):
        refused(path, "long table", "give --id_col id and --target_col y", **more)
    refused(frame, "give id_col='id' and target_col='y'")
    panel = read_panel(path, Reading(id_col="id"))
    assert sorted(panel.names) == sorted(map(str, ids))
    np.testing.assert_array_equal(panel.tables[0].values[:, 0], np.arange(20))


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        # no date twice, but they go back
        (pd.concat([stacked([1], DAYS + pd.Timedelta("1h")), stacked([2], DAYS[:15])]), ["id"]),
        (pd.concat([stacked([1, 2]).assign(shop=shop) for shop in (1, 2)]), ["id", "shop", "join"]),
    ],
)
def test_long_tables_of_other_shapes(tmp_path, frame, names):
    for source in (written(tmp_path, frame, sep=";"), frame):
        refused(source, "long table", "id_col", *names)


# What is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("date\n2020-01-01\n", "no column besides date"),
        (TEXT.replace(",4", ",four"), "column b, row 2 (line 3): 'four' is not a number"),
        (TEXT.replace(",4", ',"4,5"'), "column b, row 2 (line 3): '4,5' is not a number"),
        (TEXT.replace(",4", ',"1,500"'), "'1,500' is not a number; give --thousands ,"),
        (TEXT.replace(",2\n", ",True\n").replace(",4\n", ",False\n"), "df['b'].astype(int)"),
        (TEXT.replace("3,4", "3,"), "--fill_missing linear"),
        (TEXT.replace("5,6", "inf,6"), "column a, row 3"),
        (TEXT.replace("3,4", "3,4e40"), "too large"),
        (TEXT.replace("2020-01-02", ""), "column date, row 2 (line 3): a missing timestamp"),
        ("unique_id,ds,y\na,2020-01-01,1\n,2020-01-02,1\n", "missing id"),
    ],
)
def test_files_refused(tmp_path, text, expected):
    refused(path := written(tmp_path, text), str(path), expected)


@pytest.mark.parametrize(
    ("frame", "options", "expected"),
    [
        (GOOD.drop(columns="y"), {}, "no column y"),
        (GOOD, {"id_col": "shop"}, "no column shop"),
        (GOOD.set_index("ds"), {}, "reset_index"),
        (GOOD.astype(object).replace({"y": {5.0: "x"}}), {}, "row 6 (iloc 5): 'x' is not a number"),
        (GOOD.replace({"y": {5.0: np.nan}})[20:], {}, "fill_missing='linear' or 'ffill'"),
        (GOOD, {"freq": "W-MON"}, "2024-01-02 is off the calendar"),
        (GOOD, {"freq": "h", "fill_missing": "ffill"}, "can't be made evenly spaced"),
        (wide(date=[*DAYS[:12], OFF, *DAYS[13:]]), {"fill_missing": "ffill"}, "row 13 "),
        (wide(date=[*DAYS[:19], LATER]), {"fill_missing": "ffill"}, "row 20 "),
        (GOOD.assign(y=np.nan), {"fill_missing": "linear"}, "not a single number"),
        (wide(a=1j), {}, "'1j' is not a number"),
        (wide().rename(columns={"a": None}), {}, "column 2 has no name"),
        (wide().set_axis(["date", 1, "1"], axis=1), {}, "2 columns are named 1"),
        (long({1.0: DAYS, "1": DAYS}), {}, "2 series are named 1"),
        (list(DAYS), {}, "DataFrame"),
    ],
)
def test_frames_refused(frame, options, expected):
    refused(frame, expected, **options)


def test_another_step_than_in_training(capsys):
    for freq, warned in (("h", True), ("D", False), ("W", True)):
        other = wide(date=pd.date_range("2020-01-01", periods=20, freq=freq))
        read_panel(wide(), trained=read_panel(other).notes())
        step = f"its step is D, but the model was trained on steps of {freq}"
        assert (f"warning: the frame: {step}" in capsys.readouterr().err) == warned
