"""Timestamps of any kind are read, checked and continued."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import USFederalHolidayCalendar

from data_provider.calendars import given_step, mark_frequency
from data_provider.checks import naming
from data_provider.panel import Reading
from data_provider.reader import read_panel
from data_provider.timestamps import read_times
from tests.conftest import refusal, says
from tests.data_provider import DAYS, future, long, written

FREQUENCIES = ["min", "15min", "h", "6h", "D", "2D", "B", "W", "W-THU", "2W", "MS", "ME", "BME"]
FREQUENCIES += ["QS", "QE", "QE-FEB", "YS", "YE", "BYE", "WOM-3FRI"]
MONTHS = pd.date_range("2024-01-01", periods=12, freq="MS")
FRIDAYS = pd.date_range("2023-01-01", periods=23, freq="WOM-3FRI")
THIRTIETH = pd.DatetimeIndex(
    [pd.Timestamp(2023, 7, 30) + pd.DateOffset(months=i) for i in range(23)]
)
WORKDAYS = pd.bdate_range("2024-01-02", "2024-12-20")
WORKDAYS = WORKDAYS.difference(USFederalHolidayCalendar().holidays("2024", "2025"))


def panel_of(stamps, **reading):
    """A panel of one series with these timestamps."""
    return read_panel(pd.DataFrame({"date": stamps, "a": range(len(stamps))}), Reading(**reading))


def times_of(stamps, *dayfirst):
    with naming(lambda row: f"row {row + 1}"):
        return read_times(pd.Series(stamps), *dayfirst)


def texts(dates: pd.DatetimeIndex, form: str) -> list[str]:
    return dates.strftime(form).tolist()


@pytest.mark.parametrize("freq", FREQUENCIES)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/Sao_Paulo", "UTC"])
def test_calendars(freq, zone):
    """Any calendar, with any zone: rows in any order, gaps filled, pandas' own continuation."""
    dates = pd.date_range("2021-02-11", periods=45, freq=freq, tz=zone)
    stamps, expected = dates[:40], dates[40:]
    frame = long({"a": stamps, "b": stamps}).sample(frac=1, random_state=1)
    whole = read_panel(frame)
    assert (whole.mode, sorted(whole.names)) == ("channels", ["a", "b"])
    np.testing.assert_array_equal(whole.tables[0].values, np.arange(40)[:, None].repeat(2, 1))
    assert future(whole, 5).tolist() == expected.tolist()
    assert str(future(whole, 5).tz) == str(zone)
    holes = frame[~((frame["unique_id"] == "a") & frame["y"].isin([11, 12]))]
    for given in (None, freq):
        filled = read_panel(holes, Reading(fill_missing="linear", freq=given))
        np.testing.assert_allclose(filled.tables[0].values, whole.tables[0].values)
        assert filled.tables[0].dates.equals(whole.tables[0].dates)
        assert filled.filled == 2
        assert future(filled, 5).tolist() == expected.tolist()


def around(start: str, freq: str) -> pd.DatetimeIndex:
    """Local times of some days, in which clocks change."""
    end = pd.Timestamp(start) + pd.Timedelta("16D")
    return pd.date_range(start, end, freq=freq, tz="Europe/Berlin")


@pytest.mark.parametrize("start", ["2024-03-20", "2024-10-18"])
@pytest.mark.parametrize("freq", ["h", "30min", "D"])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
@pytest.mark.parametrize("in_file", [False, True])
def test_daylight_saving_time(tmp_path, capsys, start, freq, order, in_file):
    """Steps are regular, and a forecast goes on in the zone, or in a file in the last offset."""
    dates = around(start, freq)
    frame = pd.DataFrame({"date": dates, "a": np.arange(len(dates))})
    if in_file:
        frame["date"] = [stamp.isoformat() for stamp in dates]
    if order != "sorted":
        frame = frame[::-1] if order == "reversed" else frame.sample(frac=1, random_state=0)
    panel = read_panel(written(tmp_path, frame) if in_file else frame)
    assert panel.tables[0].values[:, 0].tolist() == list(range(len(dates)))
    expected = pd.date_range(dates[-1], periods=4, freq=freq)[1:]
    assert future(panel, 3).tolist() == expected.tolist()
    assert panel.clock.written(future(panel, 3)).tolist() == [str(stamp) for stamp in expected]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert ("not in the order of time: sorted" in captured.out) == (order != "sorted")


def test_midnight_that_clocks_leave_out():
    dates = pd.date_range("2018-10-20", periods=14, freq="D", tz="America/Sao_Paulo")
    assert texts(future(panel_of(dates), 3), "%d %H") == ["03 00", "04 01", "05 00"]


@pytest.mark.parametrize(
    ("stamps", "after"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], pd.Timestamp("2024-01-04")),
        (["2024-01-01", "2024-01-02 00:00:00", "2024-01-03"], pd.Timestamp("2024-01-04")),
        (["01/06/2020", "01/13/2020", "01/20/2020"], pd.Timestamp("2020-01-27")),
        (["31.01.2020", "29.02.2020", "31.03.2020", "30.04.2020"], pd.Timestamp("2020-05-31")),
        ([dt.date(2024, 1, day) for day in (1, 2, 3)], pd.Timestamp("2024-01-04")),
        (list(pd.period_range("2024-01", periods=3, freq="M")), pd.Timestamp("2024-04-01")),
        (pd.array([1, 2, 3], dtype="Int64"), 4),
        ([0, 30, 60], 90),
        ([-5, -3, -1], 1),
        ([1_704_067_200, 1_704_070_800, 1_704_074_400], 1_704_078_000),
        ([20240228, 20240229, 20240301], 20240302),
        ([2024022822, 2024022823], 2024022900),
        (["3", "5", "7"], 9),
        (pd.to_datetime([0, 50, 109.9, 169.9, 230, 300], unit="s"), pd.Timestamp(360, unit="s")),
        (["201510", "201511", "201512"], pd.Timestamp("2016-01-01")),
        (
            ["2024-03-31 01:00+01:00", "2024-03-31 03:00+02:00", "2024-03-31 04:00+02:00"],
            pd.Timestamp("2024-03-31 05:00+02:00"),
        ),
        *((DAYS[:3].as_unit(unit), pd.Timestamp("2024-01-04")) for unit in ("s", "ms", "us", "ns")),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_kinds_of_timestamps(stamps, after, order):
    """They come back as they were given."""
    frame = long({"a": stamps})[::order]
    for one in (frame, frame.drop(columns="unique_id")):
        panel = read_panel(one)
        assert future(panel, 1)[0] == after
        assert panel.tables[0].values[:, 0].tolist() == list(range(len(stamps)))
        if isinstance(after, int):
            assert future(panel, 1).dtype == np.int64


@pytest.mark.parametrize(
    ("stamps", "first"),
    [
        (["2024-01-01", "2024-01-02"], "2024-01-03"),
        (["2024-01-01 00:00", "2024-01-02 00:00"], "2024-01-03 00:00:00"),
        (["13.01.2024", "14.01.2024", "15.01.2024"], "2024-01-16"),
        (["20240101", "20240102"], "2024-01-03"),
        (["2024010122", "2024010123"], "2024-01-02 00:00:00"),
        (["2020-03-29 01:00+01:00", "2020-03-29 03:00+02:00"], "2020-03-29 04:00:00+02:00"),
        (["2020-10-25 02:00+0200", "2020-10-25 02:00+0100"], "2020-10-25 03:00:00+01:00"),
        (["2020-03-29T00:00+01:00", "2020-03-30T00:00+02:00"], "2020-03-31 00:00:00+02:00"),
        (["1704067200", "1704070800"], "2024-01-01 02:00:00+00:00"),
    ],
)
def test_written_as_the_file_has_them(stamps, first):
    """Without a time of day where the file has none; epoch times are dates."""
    panel = panel_of(stamps)
    assert panel.clock.written(future(panel, 1))[0] == first


WEEKS = pd.date_range("2020-01-06", periods=60, freq="W-MON")
MANY_MONTHS = pd.date_range("1960-01-01", periods=30, freq="MS")
UNDECIDED = texts(MONTHS, "%d.%m.%Y")


@pytest.mark.parametrize("dayfirst", [True, False])
@pytest.mark.parametrize(
    "dates",
    [
        WEEKS,
        MANY_MONTHS,
        MONTHS[2:] + pd.Timedelta("12D"),  # numbers above 12
        pd.DatetimeIndex(["2024-02-01", "2024-01-13"]),  # one in the last row
        pd.date_range("2024-01-01", periods=13),
        pd.date_range("2023-07-01", periods=14, freq="MS"),  # by order
    ],
)
def test_day_or_month_first(dates, dayfirst):
    """All rows decide together, whatever the training's dates were."""
    text = texts(dates, "%d/%m/%Y" if dayfirst else "%m/%d/%Y")
    times = times_of(text, None, not dayfirst)
    assert times.dates.tolist() == dates.tolist()
    assert times.clock.dayfirst is dayfirst


@pytest.mark.parametrize(
    "stamps", [UNDECIDED, UNDECIDED[::-1], ["01.02.2024"], ["02.01.2024 00:00", "02.01.2024 01:00"]]
)
def test_undecided_dates(stamps):
    """Nothing but an option or the training of a model tells days from months."""
    message = refusal(times_of, stamps)
    row = next(i for i, text in enumerate(stamps, 1) if text[:2] != text[3:5])
    says(message, f"row {row}: {stamps[row - 1]!r} may be ", "give --dayfirst true or false")
    for known in ((True,), (True, False), (None, True)):
        days = times_of(stamps, *known).dates
        assert texts(days, "%d.%m.%Y") == [text[:10] for text in stamps]
    months = times_of(stamps, None, False).dates
    assert texts(months, "%m.%d.%Y") == [text[:10] for text in stamps]


@pytest.mark.parametrize(
    ("stamps", "problem"),
    [
        (["2024-01-01", "yesterday"], "row 2: 'yesterday' is not a date"),
        (["13.02.2024", "02.13.2024"], "row 2: '02.13.2024' is not a date"),
        (["13.02.2024", "2024-02-14"], "row 2: '2024-02-14' is not a date"),
        (["2024-01-01", None], "row 2: a missing timestamp"),
        ([pd.NaT, DAYS[0]], "row 1: a missing timestamp"),
        (["Jan-01", "Feb-01"], "row 1: 'Jan-01' is read as the year 1, which is not within 1600"),
        (["2024-01-01", "1599-12-31"], "row 2: '1599-12-31' is read as the year 1599"),
        (
            [dt.datetime(2024, 1, 1), DAYS[1].tz_localize("UTC")],
            "row 1: 2024-01-01 00:00:00 has no",
        ),
        ([1.5, 2.5], "row 1: 1.5 is no timestamp"),
        ([1_704_067_200_000_000_000], "too large: convert them, for example by pandas.to_datetime"),
    ],
)
def test_no_timestamps(stamps, problem):
    assert problem in refusal(times_of, stamps)


@pytest.mark.parametrize(
    "dates",
    [FRIDAYS, THIRTIETH, WORKDAYS, pd.date_range("1990", "2023", freq="YS") + pd.Timedelta("14D")]
    + [pd.date_range("2020-01-01", periods=34, freq=freq) for freq in ("B", "MS", "ME", "QE", "D")],
)
@pytest.mark.parametrize("gap", [None, 3, -4, -2])
def test_continued(dates, gap):
    """A missing row does not hide the calendar, also as the last step."""
    known = dates[:-3] if gap is None else dates[:-3].delete(gap)
    assert future(panel_of(known), 3).tolist() == dates[-3:].tolist()


@pytest.mark.parametrize(
    ("freq", "counts_steps", "expected"),
    [("M", False, "freq='M' is no frequency of pandas"), (7, False, "freq=7"),
     ("-1D", False, "freq='-1D'"), ("h", True, "whole numbers: give one"), (0, True, "freq=0"),
     ("1.5", True, "freq='1.5'"), (pd.offsets.CDay(weekmask="Sun"), False, "freq=<Cus")],
)  # fmt: skip
def test_no_step(freq, counts_steps, expected):
    assert expected in refusal(given_step, freq, counts_steps)


@pytest.mark.parametrize(
    ("first", "freq", "season", "mark"),
    [("2020-01-01", "15min", 96, "t"), ("2020-01-01", "h", 24, "h"), ("2020-01-01", "D", 7, "d"),
     ("2020-01-01", "B", 5, "b"), ("2020-01-01", "W", 52, "w"), ("2020-01-01", "MS", 12, "m"),
     ("2020-01-01", "QE", 4, "q"), ("2020-01-01", "YS", 1, "y"), (100, 1, 0, "h")],
)  # fmt: skip
def test_seasons_and_marks(first, freq, season, mark):
    """Of whole numbers they are unknown."""
    whole = isinstance(first, int)
    panel = panel_of(range(100, 140) if whole else pd.date_range(first, periods=40, freq=freq))
    dates, counts_steps = panel.tables[0].dates, panel.clock.counts_steps
    assert panel.season_length == season
    assert mark_frequency(None, dates, counts_steps) == mark
    assert mark_frequency("5min", dates, counts_steps) == "5min"
