"""Frames, long and wide, become panels, or are refused with one line that names the series."""

import datetime as dt
import resource
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from data_provider.frames import (
    frame_file,
    future_timestamps,
    panel_from_long,
    panel_from_wide,
    read_frame_file,
)
from utils.errors import UserError

FREQUENCIES = ["min", "15min", "h", "6h", "D", "B", "W", "W-THU", "2W", "MS", "ME", "BME", "QS"]
FREQUENCIES += ["QE", "QE-FEB", "YS", "YE"]
DAYS = pd.date_range("2024-01-01", periods=20, freq="D")


def long(series: dict) -> pd.DataFrame:
    """A long frame of `{id: timestamps}`, values counted from 0."""
    parts = [
        pd.DataFrame({"ds": stamps, "y": np.arange(len(stamps), dtype=float)}).assign(
            unique_id=pd.Series([name] * len(stamps), dtype=object)
        )
        for name, stamps in series.items()
    ]
    return pd.concat(parts, ignore_index=True)


def refusal(build, *args, **options) -> str:
    with pytest.raises(UserError) as caught:
        build(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("freq", FREQUENCIES)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/Sao_Paulo", "UTC"])
def test_calendars(freq, zone):
    """Any calendar, with any zone: rows in any order, gaps filled, pandas' own continuation."""
    dates = pd.date_range("2021-02-11", periods=45, freq=freq, tz=zone)
    stamps, expected = dates[:40], dates[40:]
    frame = long({"a": stamps, "b": stamps}).sample(frac=1, random_state=1)
    whole = panel_from_long(frame)
    assert (whole.mode, whole.ids, whole.names) == ("channels", [whole.names], whole.names)
    assert sorted(whole.names) == ["a", "b"]
    np.testing.assert_array_equal(whole.tables[0].values, np.arange(40)[:, None].repeat(2, 1))
    future = future_timestamps(whole, 0, 5)
    assert future.tolist() == expected.tolist()
    assert str(future.tz) == str(zone)
    holes = frame[~((frame["unique_id"] == "a") & frame["y"].isin([11, 12]))]
    assert "series a" in refusal(panel_from_long, holes)
    filled = panel_from_long(holes, fill="linear", freq=freq)
    np.testing.assert_allclose(filled.tables[0].values, whole.tables[0].values)
    assert filled.tables[0].dates.equals(whole.tables[0].dates)
    assert filled.tables[0].filled == 2
    assert future_timestamps(filled, 0, 5, freq).tolist() == expected.tolist()


@pytest.mark.parametrize("spring", [True, False])
@pytest.mark.parametrize("freq", ["h", "30min", "D"])
def test_daylight_saving_time(freq, spring):
    start = "2024-03-20" if spring else "2024-10-18"
    dates = pd.date_range(
        start, periods=30 * (1 if freq == "D" else 24), freq=freq, tz="Europe/Berlin"
    )
    cut = len(dates) // 3
    panel = panel_from_long(long({"a": dates[:cut]}), freq=freq)
    assert future_timestamps(panel, 0, len(dates) - cut).equals(dates[cut:])
    assert panel.tables[0].filled == 0
    wide = panel_from_wide(pd.DataFrame({"date": dates, "a": 1.0}))
    assert len(wide.tables[0].dates) == len(dates)


@pytest.mark.parametrize(
    ("stamps", "after"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], pd.Timestamp("2024-01-04")),
        (["01/06/2020", "01/13/2020", "01/20/2020"], pd.Timestamp("2020-01-27")),
        (["31.01.2020", "29.02.2020", "31.03.2020", "30.04.2020"], pd.Timestamp("2020-05-31")),
        ([dt.date(2024, 1, day) for day in (1, 2, 3)], pd.Timestamp("2024-01-04")),
        ([dt.datetime(2024, 1, 1, hour) for hour in (1, 2, 3)], pd.Timestamp("2024-01-01 04:00")),
        (list(pd.period_range("2024-01", periods=3, freq="M")), pd.Timestamp("2024-04-01")),
        (pd.period_range("2024Q1", periods=3, freq="Q"), pd.Timestamp("2024-10-01")),
        (pd.array([1, 2, 3], dtype="Int64"), 4),
        ([0, 30, 60], 90),
        ([0, 86400, 2 * 86400], 3 * 86400),
        ([-5, -3, -1], 1),
        ([1_704_067_200, 1_704_070_800, 1_704_074_400], 1_704_078_000),
        (["3", "5", "7"], 9),
        (["1999", "2000", "2001"], pd.Timestamp("2002-01-01")),
        (
            ["2024-03-31 01:00+01:00", "2024-03-31 03:00+02:00", "2024-03-31 04:00+02:00"],
            pd.Timestamp("2024-03-31 05:00+02:00"),
        ),
        *((DAYS[:3].as_unit(unit), pd.Timestamp("2024-01-04")) for unit in ("s", "ms", "us", "ns")),
    ],
)
def test_kinds_of_timestamps(stamps, after):
    """They come back as they were given."""
    for order in (slice(None), slice(None, None, -1)):
        frame = long({"a": stamps})[order]
        panel = panel_from_long(frame)
        future = future_timestamps(panel, 0, 1)
        assert future[0] == after
        assert panel.whole_numbers == isinstance(after, int)
        assert panel.tables[0].values[:, 0].tolist() == list(range(len(stamps)))
        if panel.whole_numbers:
            assert future.dtype == np.int64
        wide = panel_from_wide(frame.drop(columns="unique_id").rename(columns={"ds": "date"}))
        assert future_timestamps(wide, 0, 1)[0] == after


def test_midnight_that_clocks_leave_out():
    dates = pd.date_range("2018-10-20", periods=14, freq="D", tz="America/Sao_Paulo")
    panel = panel_from_long(long({"a": dates}))
    future = future_timestamps(panel, 0, 3)
    assert future.strftime("%d %H").tolist() == ["03 00", "04 01", "05 00"]


@pytest.mark.parametrize("seed", range(6))
def test_day_first_months_in_any_order(seed):
    months = pd.date_range("2019-01-01", periods=30, freq="MS")
    frame = long({"a": months.strftime("%d/%m/%Y"), "b": months.strftime("%d/%m/%Y")})
    panel = panel_from_long(frame.sample(frac=1, random_state=seed))
    assert panel.tables[0].dates.tolist() == months.tolist()


def test_ids_of_any_type():
    ids = [(1, "x"), "b", 3, 2.5, dt.date(2020, 1, 1), None][:5]
    panel = panel_from_long(long(dict.fromkeys(ids, DAYS)))
    assert panel.names == ids
    assert panel.ids == [ids]
    assert panel.tables[0].columns == [str(name) for name in ids]
    frame = long({"a": DAYS, "b": DAYS})
    categories = frame.assign(unique_id=pd.Categorical(frame["unique_id"], ["c", "b", "a"]))
    assert panel_from_long(categories).names == ["a", "b"]
    assert panel_from_long(long({1: DAYS, "1": DAYS})).tables[0].columns == ["1", "'1'"]


def test_pooled_or_channels():
    frame = long({"b": DAYS, "a": DAYS[5:], "c": DAYS[:9]}).sample(frac=1, random_state=3)
    panel = panel_from_long(frame)
    order = list(dict.fromkeys(frame["unique_id"]))
    assert (panel.mode, panel.names, panel.ids) == ("pooled", order, [[name] for name in order])
    lengths = {"a": 15, "b": 20, "c": 9}
    for name, table in zip(order, panel.tables, strict=True):
        assert table.values.shape == (lengths[name], 1)
        assert table.values[:, 0].tolist() == list(range(lengths[name]))
    assert future_timestamps(panel, order.index("c"), 2).tolist() == DAYS[9:11].tolist()
    message = refusal(panel_from_long, frame, panel="channels")
    for part in (f"series {order[0]} has", "panel='pooled'", "cut", "2024-01-06 to 2024-01-20"):
        assert part in message
    equal = long({"b": DAYS, "a": DAYS})
    assert [len(t.columns) for t in panel_from_long(equal, panel="pooled").tables] == [1, 1]
    other = long({"hourly": pd.date_range("2024-01-01", periods=30, freq="h"), "daily": DAYS})
    panel = panel_from_long(other)
    assert [str(future_timestamps(panel, i, 1)[0]) for i in (0, 1)] == [
        "2024-01-02 06:00:00",
        "2024-01-21 00:00:00",
    ]


def test_one_timestamp_takes_the_step_of_others():
    panel = panel_from_long(long({"a": DAYS[:1], "b": DAYS}))
    assert future_timestamps(panel, 0, 1)[0] == DAYS[1]
    alone = panel_from_long(long({"a": DAYS[:1]}))
    assert "freq=" in refusal(future_timestamps, alone, 0, 1)
    assert future_timestamps(alone, 0, 1, "ME")[0] == pd.Timestamp("2024-01-31")


def test_leading_gaps_are_never_filled():
    frame = long({"a": DAYS, "b": DAYS})
    late = (frame["unique_id"] == "b") & (frame["ds"] < DAYS[4])
    frame.loc[late, "y"] = np.nan
    panel = panel_from_long(frame, fill="linear")
    assert panel.mode == "pooled"
    assert [len(table.dates) for table in panel.tables] == [20, 16]
    assert [table.filled for table in panel.tables] == [0, 0]
    assert "panel='pooled'" in refusal(panel_from_long, frame, fill="linear", panel="channels")
    halves = (frame.loc[frame["unique_id"] == name, "y"].to_numpy() for name in "ab")
    wide = pd.DataFrame(dict(zip(["ds", "a", "b"], [DAYS, *halves], strict=True)))
    panel = panel_from_wide(wide, "ds", fill="ffill")
    assert (panel.mode, panel.ids) == ("pooled", [["a"], ["b"]])
    assert panel.tables[1].dates[0] == DAYS[4]
    frame["y"] = frame.groupby("unique_id")["y"].transform(lambda y: y.to_numpy()[::-1])
    panel = panel_from_long(frame, fill="ffill")  # gaps at the end are filled
    assert panel.mode == "channels"
    assert panel.tables[0].values[15:, 1].tolist() == [4.0] * 5
    assert panel.tables[0].filled == 4


def spoilt(column: str, row: int, value: object) -> pd.DataFrame:
    frame = long({"a": DAYS, "b": DAYS})
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


GOOD = long({"a": DAYS, "b": DAYS})


@pytest.mark.parametrize(
    ("frame", "options", "expected"),
    [
        (GOOD.drop(columns="y"), {}, ["no column y", "unique_id", "target_col="]),
        (GOOD.set_index("ds"), {}, ["no column ds", "reset_index"]),
        (GOOD.iloc[:0], {}, ["no rows"]),
        (GOOD.assign(y="x"), {}, ["series a", "column y", "row 1 (iloc 0)", "'x' is not a number"]),
        (
            GOOD.assign(y=["1"] * 5 + ["x"] + ["1"] * (len(GOOD) - 6)),
            {},
            ["row 6 (iloc 5)", "'x' is not a number"],
        ),
        (GOOD.assign(y="1.5"), {}, ["series a", "column y", "to_numeric"]),
        (GOOD.assign(y=True), {}, ["series a", "column y", "astype(int)"]),
        (GOOD.assign(y=GOOD["ds"]), {}, ["series a", "column y", "not a number"]),
        (
            spoilt("y", 25, np.nan),
            {},
            ["series b, column y, row 26 (iloc 25)", "missing", "fill_missing="],
        ),
        (spoilt("y", 25, -np.inf), {}, ["series b", "column y", "infinite"]),
        (spoilt("y", 25, 1e31), {}, ["series b", "column y", "too large"]),
        (spoilt("y", 25, 1e31), {"fill": "ffill"}, ["series b", "column y", "too large"]),
        (spoilt("ds", 25, pd.NaT), {}, ["series b", "column ds", "row 26", "missing timestamp"]),
        (spoilt("ds", 25, DAYS[4]), {}, ["series b", "duplicate timestamp 2024-01-05"]),
        (spoilt("unique_id", 3, None), {}, ["column unique_id", "row 4", "missing id"]),
        (spoilt("unique_id", 3, [1]), {}, ["column unique_id", "hashable"]),
        (GOOD.assign(ds="soon"), {}, ["series a", "column ds", "'soon' is not a date"]),
        (GOOD.assign(ds=1.5), {}, ["column ds", "no timestamp"]),
        (GOOD.assign(ds=True), {}, ["column ds", "no timestamp"]),
        (GOOD.assign(ds=1_704_067_200_000_000_000), {}, ["column ds", "to_datetime"]),
        (GOOD.drop(index=[27]), {}, ["series b", "2024-01-07", "2024-01-09", "step is D"]),
        (GOOD.drop(index=[27]), {"freq": "D"}, ["series b", "2024-01-07", "freq is D"]),
        (GOOD, {"freq": "ME"}, ["series a", "2024-01-01 is off the calendar", "freq is ME"]),
        (GOOD, {"freq": "W-MON"}, ["series a", "2024-01-02", "freq is W-MON"]),
        (GOOD, {"freq": "W-MON", "fill": "ffill"}, ["series a", "2024-01-02"]),
        (GOOD, {"freq": "h", "fill": "ffill"}, ["series a", "can't be made evenly spaced"]),
        (GOOD, {"freq": "M"}, ["freq='M'", "ME"]),
        (GOOD, {"freq": 7}, ["freq=7"]),
        (GOOD, {"fill": "mean"}, ["fill='mean'"]),
        (GOOD, {"panel": "both"}, ["panel='both'"]),
        (GOOD.assign(y=np.nan), {"fill": "linear"}, ["series a", "not a single number"]),
        (pd.concat([GOOD, GOOD[["y"]]], axis=1), {}, ["2 columns are named y"]),
        (list(DAYS), {}, ["DataFrame", "list"]),
    ],
)
def test_refused(frame, options, expected):
    message = refusal(panel_from_long, frame, **options)
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"a": "x"}, ["series a", "row 1 (iloc 0)", "'x'", "drop the column"]),
        ({"a": [1.0] * 19 + [np.nan]}, ["series a", "row 20 (iloc 19)", "missing"]),
        ({"b": True}, ["series b", "astype(int)"]),
        ({"date": [*DAYS[:19], DAYS[3]]}, ["duplicate timestamp 2024-01-04"]),
        ({"date": [*DAYS[:19], pd.Timestamp("2024-02-01")]}, ["2024-01-19", "2024-02-01"]),
        ({"date": [*DAYS[:10], *DAYS[:10]], "b": [1] * 10 + [2] * 10}, ["column b", "id_col"]),
    ],
)
def test_wide_frames_refused(change, expected):
    frame = pd.DataFrame({"date": DAYS, "a": 1.0, "b": 2.0}).assign(**change)
    message = refusal(panel_from_wide, frame)
    for part in expected:
        assert part in message


def test_wide_frames():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", 3])
    frame.insert(0, "when", DAYS)
    frame["note"] = "x"
    shuffled = frame.sample(frac=1, random_state=0)
    before = shuffled.copy()
    panel = panel_from_wide(shuffled, "when", channels=["b", 3])
    pd.testing.assert_frame_equal(shuffled, before)
    assert (panel.mode, panel.ids, panel.tables[0].columns) == ("channels", [["b", 3]], ["b", "3"])
    np.testing.assert_array_equal(panel.tables[0].values, frame[["b", 3]])
    assert "no column c" in refusal(panel_from_wide, frame, "when", channels=["c"])
    decimals = frame.assign(b=[Decimal("1.5")] * 20, a=pd.array([1] * 20, dtype="Int64"))
    assert panel_from_wide(decimals, "when", channels=["a", "b"]).tables[0].values[3].tolist() == [
        1,
        1.5,
    ]


def test_frames_are_not_modified():
    for frame in (GOOD.copy(), spoilt("y", 25, np.nan), GOOD.assign(ds=GOOD["ds"].astype(str))):
        before = frame.copy(deep=True)
        panel_from_long(frame, fill="linear")
        pd.testing.assert_frame_equal(frame, before)


def test_frames_of_other_libraries():
    class Polars:
        def to_pandas(self):
            return GOOD

    assert panel_from_long(Polars()).names == ["a", "b"]


def test_many_series_take_seconds():
    starts = np.datetime64("2024-01-01T00") + np.arange(2000)
    frame = pd.DataFrame(
        {
            "unique_id": np.arange(2000).repeat(20),
            "ds": (starts[:, None] + np.arange(20)).ravel(),
            "y": np.tile(np.arange(20.0), 2000),
        }
    )
    start = time.perf_counter()
    panel = panel_from_long(frame.sample(frac=1, random_state=0))
    assert time.perf_counter() - start < 15
    assert len(panel.tables) == 2000
    assert all((table.values[:, 0] == np.arange(20)).all() for table in panel.tables)


@pytest.fixture
def mixed() -> pd.DataFrame:
    """Columns whose first rows are of another type than later ones."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "unique_id": ["7"] * 500 + ["x"] * 500,
            "ds": pd.date_range("2024-01-01", periods=1000, freq="h"),
            "y": [*range(500), *(rng.normal(size=500).round(3))],
            "count": pd.array([1] * 999 + [None], dtype="Int64"),
            "whole": range(1000),
            "late": [None] * 700 + [1.5] * 300,
            "flag": [True, False] * 500,
            "sometimes": [True] * 999 + [None],
        }
    )


@pytest.mark.parametrize("kind", ["csv", "semicolons", "parquet"])
@pytest.mark.parametrize("rows", [1, 64, 65536])
def test_files_by_parts(tmp_path, mixed, kind, rows):
    """Every part has the types of the whole; Parquet's values are those of pandas."""
    path = tmp_path / ("x.pq" if kind == "parquet" else "x.csv")
    mixed = mixed if rows > 1 else mixed[480:520].assign(count=mixed["count"][::-1].to_numpy()[:40])
    if kind == "parquet":
        mixed.to_parquet(path, row_group_size=100)
    else:
        mixed.to_csv(path, index=False, **({} if kind == "csv" else {"sep": ";", "decimal": ","}))
    whole = read_frame_file(path)
    parts = list(frame_file(path)(rows))
    assert max(map(len, parts)) <= rows
    for part in parts:
        pd.testing.assert_series_equal(part.dtypes, whole.dtypes)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert str(whole["whole"].dtype) == "int64"
    assert str(whole["y"].dtype) == str(whole["count"].dtype) == "float64"
    assert whole["unique_id"].tolist() == mixed["unique_id"].tolist()
    np.testing.assert_array_equal(whole["y"], mixed["y"])
    np.testing.assert_array_equal(whole["late"], mixed["late"].astype(float))
    assert pd.to_datetime(whole["ds"]).tolist() == mixed["ds"].tolist()
    assert whole["flag"].tolist() == mixed["flag"].tolist()


def test_named_index_of_parquet(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.DatetimeIndex(DAYS[:2], name="date"))
    frame.to_parquet(tmp_path / "x.parquet")
    assert list(read_frame_file(tmp_path / "x.parquet").columns) == ["a", "date"]
    frame.reset_index()[1:].to_parquet(tmp_path / "x.parquet")
    assert list(read_frame_file(tmp_path / "x.parquet").columns) == ["date", "a"]


def test_years_and_dates_of_digits_in_a_file(tmp_path):
    """Timestamps of a CSV stay text, so that they are read as `read_series` reads them."""
    path = tmp_path / "x.csv"
    path.write_text("ds,unique_id,y\n20240131,1,2\n20240229,1,3\n20240331,1,4\n")
    panel = panel_from_long(read_frame_file(path))
    assert future_timestamps(panel, 0, 1)[0] == pd.Timestamp("2024-04-30")
    assert panel.names == [1]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.csv", b"", "empty"),
        ("x.csv", b"a,b\n", "no rows"),
        ("x.csv", b"a,b\n1,2\n1,2,3\n", "not a CSV|more fields"),
        ("x.csv", b"a,a\n1,2\n", "2 columns are named a"),
        ("x.csv", b"a\0\n1\n", "not a text file"),
        ("x.parquet", b"a,b\n1,2\n", "not a Parquet file"),
        ("x.xlsx", b"PK", "read_excel"),
        (None, b"", "no such file"),
    ],
)
def test_files_refused(tmp_path, name, content, expected):
    if name:
        (tmp_path / name).write_bytes(content)
    path = tmp_path / (name or "none.csv")
    with pytest.raises(UserError, match=expected) as caught:
        read_frame_file(path)
    assert str(path) in str(caught.value)


def test_memory_of_a_long_file_is_that_of_a_part(tmp_path):
    path = tmp_path / "x.csv"
    with path.open("w") as file:
        file.write("unique_id,ds,y\n")
        lines = [f"series {i},2024-01-01 00:00:00,{i}.25\n" for i in range(1000)]
        for _ in range(400):
            file.writelines(lines)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(len(part) for part in frame_file(path)(4096))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert count == 400_000
    assert grown < 60_000  # KiB; the whole frame takes more than that
