"""Timestamps: read a column of them, find their step, insert missing ones, continue them."""

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, timezone, tzinfo
from functools import lru_cache

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from utils.errors import UserError
from utils.timefeatures import frequency_unit

BLOCK = 10  # consecutive timestamps to infer a frequency from
BLOCKS = 20  # how many of them are tried
SHORT_BLOCK = 4  # where no longer block has a frequency
RECENT = 100  # timestamps that decide the step of a forecast
TOLERANCE = 0.01  # of a step, within which timestamps are evenly spaced
DAY = 24 * 60 * 60  # seconds
YEARS = (1600, 2200)
EPOCH_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # by the number of digits
EPOCHS = (1_000_000_000, 4_102_444_800)  # seconds after 1970: September 2001 to 2100
LARGEST_COUNT = 9 * 10**12  # a whole number of steps; microseconds of as many seconds fit 64 bits
NUMERIC_DATE = r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)"  # of which the year comes last
OFFSET = r"[:T ]\d{2,}(?:\.\d+)?\s*([+-])(\d{2}):?(\d{2})?\s*$"
ZONE = r"(?:[+-]\d{2}:?(?:\d{2})?|[Zz]|UTC|GMT)\s*$"
TIME_ALONE = r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*$"

Step = pd.offsets.BaseOffset
Frequency = str | int | Step


class IrregularError(ValueError):
    """Timestamps that no rows inserted between them make evenly spaced.

    Attributes:
        row: the first that is amiss, counted from 0.
    """

    def __init__(self, row: int, problem: str):
        super().__init__(problem)
        self.row = row


@dataclass(frozen=True)
class Clock:
    """How the timestamps of a panel are written, and what its naive dates mean.

    Attributes:
        counts_steps: timestamps are whole numbers; as dates, so many seconds after 1970.
        tz: their time zone; None without one.
        fixed: with a time zone, the UTC offset in which dates with steps below a day are naive, so
            that a change of clocks leaves them even; None for local times.
        date_only: dates have no time of day.
        digits: how integers in a frame write dates, as "%Y%m".
        dayfirst: how dates such as 05/02/2024 were read; None if there are none.
    """

    counts_steps: bool = False
    tz: tzinfo | None = None
    fixed: tzinfo | None = None
    date_only: bool = False
    digits: str | None = None
    dayfirst: bool | None = None

    def stamps(self, dates: pd.DatetimeIndex) -> pd.Index:
        """Convert naive dates back to what a frame had: timestamps, or whole numbers."""
        if self.counts_steps:
            return pd.Index(dates.as_unit("s").asi8)
        if self.digits is not None:
            return pd.Index(dates.strftime(self.digits).astype("int64"))
        if self.tz is None:
            return dates
        if self.fixed is not None:
            return dates.tz_localize(self.fixed).tz_convert(self.tz)
        first = np.ones(len(dates), dtype=bool)  # of two equal local times, the one in summer time
        return dates.tz_localize(self.tz, ambiguous=first, nonexistent="shift_forward")

    def written(self, stamps: pd.DatetimeIndex) -> pd.Index:
        """Write timestamps as a CSV has them: without a time of day if it had none."""
        naive = stamps.tz_localize(None)
        if self.date_only and (naive == naive.normalize()).all():
            return naive.strftime("%Y-%m-%d")
        fraction = ".%f" if (naive.microsecond > 0).any() else ""
        text = naive.strftime("%Y-%m-%d %H:%M:%S" + fraction)
        if stamps.tz is None:
            return text
        offsets = stamps.strftime("%z")
        return text + offsets.str[:3] + ":" + offsets.str[3:]

    def axis(self, dates: pd.DatetimeIndex) -> pd.Index:
        """Return the times of a picture: local, without a zone."""
        stamps = self.stamps(dates)
        return stamps.tz_localize(None) if isinstance(stamps, pd.DatetimeIndex) else stamps


@dataclass(frozen=True)
class Times:
    """A column of timestamps.

    Attributes:
        dates: `[rows]`, naive: local, or seconds after 1970 if they count steps.
        utc: the same in UTC, naive, if there is a time zone.
        clock: how they are written; its `fixed` is not decided yet.
        note: a line that tells how they were read, if that is not obvious.
    """

    dates: pd.DatetimeIndex
    clock: Clock
    utc: pd.DatetimeIndex | None = None
    note: str = ""

    @property
    def order(self) -> pd.DatetimeIndex:
        """What sorts the rows: local times repeat where clocks are set back."""
        return self.dates if self.utc is None else self.utc


def read_times(
    column: pd.Series,
    place: Callable[[int], str],
    dayfirst: bool | None = None,
    trained_dayfirst: bool | None = None,
) -> Times:
    """Read a column of timestamps of any kind.

    Whole numbers count steps; but text of years from 1600 to 2200, of seconds, milli-, micro- or
    nanoseconds after 1970 is dates, and so are months (202401) and days (20240131) of digits.

    Args:
        column: datetimes, dates, periods (by their start), whole numbers, or text.
        place: names the cell of a row, counted from 0, for messages.
        dayfirst: whether 05/02/2024 is in February; None decides by all rows.
        trained_dayfirst: what decides if the rows do not.

    Raises:
        UserError: a timestamp is missing, can't be read, or is not in the years 1600 to 2200; or
            nothing decides between day and month.
    """
    missing = column.isna().to_numpy()
    if missing.any():
        raise UserError(f"{place(int(missing.argmax()))}: a missing timestamp")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    kind = pd.api.types.infer_dtype(column)
    if kind == "string":
        return _of_text(column.astype(str), place, dayfirst, trained_dayfirst)
    if kind == "period":
        times = Times(pd.PeriodIndex(column).to_timestamp(), Clock(date_only=True))
    elif kind in ("datetime64", "datetime", "date"):
        dates = _datetimes(column, place)
        if dates.tz is None:
            times = Times(dates, Clock(date_only=bool((dates == dates.normalize()).all())))
        else:
            utc = dates.tz_convert("UTC").tz_localize(None)
            times = Times(dates.tz_localize(None), Clock(tz=dates.tz), utc)
    elif kind == "integer" or (kind == "floating" and (column % 1 == 0).all()):
        return _of_numbers(column, place)
    else:
        raise UserError(
            f"{place(0)}: {column.iloc[0]} is no timestamp: datetimes, dates, periods, text or "
            "whole numbers are"
        )
    _require_years(times.dates, column.astype(str), place)
    return times


def _datetimes(column: pd.Series, place: Callable[[int], str]) -> pd.DatetimeIndex:
    """Read a column of datetimes or dates; of several time zones, the first one's counts."""
    try:
        return pd.DatetimeIndex(pd.to_datetime(column))
    except (ValueError, TypeError):
        zones = [value.tzinfo for value in column]
        if None in zones:
            row = zones.index(None)
            raise UserError(
                f"{place(row)}: {column.iloc[row]} has no time zone, others have"
            ) from None
        return pd.DatetimeIndex(pd.to_datetime(column, utc=True)).tz_convert(zones[0])


def _of_numbers(column: pd.Series, place: Callable[[int], str]) -> Times:
    numbers = column.to_numpy("float64")
    if np.abs(numbers).max() > LARGEST_COUNT:
        raise UserError(
            f"{place(int(np.abs(numbers).argmax()))}: whole numbers count steps, and this one is "
            "too large: convert them, for example by pandas.to_datetime(..., unit='ms')"
        )
    digits = _digits(pd.Series(column.to_numpy("int64").astype(str)))
    if digits in ("%Y%m", "%Y%m%d"):
        dates = pd.to_datetime(column.astype("int64").astype(str), format=digits)
        return Times(pd.DatetimeIndex(dates), Clock(digits=digits, date_only=True))
    seconds = column.to_numpy("int64").astype("datetime64[s]")
    return Times(pd.DatetimeIndex(seconds), Clock(counts_steps=True))


def _of_text(
    text: pd.Series,
    place: Callable[[int], str],
    dayfirst: bool | None,
    trained_dayfirst: bool | None,
) -> Times:
    unit = _epoch_unit(text)
    if unit is not None:
        utc = pd.DatetimeIndex(pd.to_datetime(text.astype("int64"), unit=unit))
        note = f"whole numbers are read as time after 1970 in {unit}, in UTC"
        return Times(utc, Clock(tz=UTC), utc, note)
    digits = _digits(text)
    if digits == "":
        dates = pd.DatetimeIndex(pd.to_datetime(text.astype("int64"), unit="s"))
        return Times(dates, Clock(counts_steps=True))
    if digits is not None:
        text = text.str.strip()
        parsed, dayfirst = pd.to_datetime(text, format=digits, errors="coerce"), None
    else:
        parsed, dayfirst = _parsed(text, place, dayfirst, trained_dayfirst)
    # what pandas takes for the time of today
    wrong = parsed.isna() | text.str.lower().isin(["now", "today"]) | text.str.match(TIME_ALONE)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise UserError(f"{place(row)}: {text.iloc[row]!r} is not a date")
    dates = pd.DatetimeIndex(parsed)
    if dates.tz is None:
        has_time = bool(text.str.contains(r":|T\d").any())
        times = Times(dates, Clock(date_only=not has_time, dayfirst=dayfirst))
    else:
        without = ~text.str.contains(ZONE).to_numpy(bool)
        if without.any():
            row = int(without.argmax())
            raise UserError(f"{place(row)}: {text.iloc[row]!r} has no UTC offset, others have")
        utc, offsets = dates.tz_convert("UTC").tz_localize(None), utc_offsets(text)
        zone = timezone(offsets[utc.argmax()].to_pytimedelta())  # of the last one
        times = Times(utc + offsets, Clock(tz=zone, dayfirst=dayfirst), utc)
    _require_years(times.dates, text, place)
    return times


def _require_years(dates: pd.DatetimeIndex, text: pd.Series, place: Callable[[int], str]) -> None:
    outside = (dates.year < YEARS[0]) | (dates.year > YEARS[1])
    if outside.any():
        row = int(outside.argmax())
        raise UserError(
            f"{place(row)}: {text.iloc[row]!r} is read as the year {dates.year[row]}, which is not "
            f"within {YEARS[0]} to {YEARS[1]}"
        )


def utc_offsets(text: pd.Series) -> pd.TimedeltaIndex:
    """Read the UTC offsets that times end with; none and Z are 0."""
    parts = text.str.extract(OFFSET)
    hours, minutes = (pd.to_numeric(parts[i]).fillna(0) for i in (1, 2))
    minutes = np.where(parts[0] == "-", -1, 1) * (hours * 60 + minutes)
    return pd.to_timedelta(minutes.to_numpy(), unit="min")


def _epoch_unit(text: pd.Series) -> str | None:
    """The unit of whole numbers that count time after 1970 and are in this century; else None."""
    unit = EPOCH_UNITS.get(len(text.iloc[0].strip()))
    if unit is None or not text.str.fullmatch(r"\s*\d{10,19}\s*").all():
        return None
    seconds = pd.to_numeric(text) // (pd.Timedelta("1s") // pd.Timedelta(1, unit))
    return unit if seconds.between(*EPOCHS).all() else None


def _digits(text: pd.Series) -> str | None:
    """Tell what whole numbers write: years, months or days, by their format; an empty string if
    they count steps; None if they are no whole numbers."""
    number = r"\s*[+-]?\d{1,10}\s*"
    if not re.fullmatch(number, text.iloc[0]) or not text.str.fullmatch(number).all():
        return None
    numbers = text.astype("int64")
    first, last = YEARS
    if numbers.between(first, last).all():
        return "%Y"
    months = numbers % 100
    if numbers.between(first * 100, last * 100 + 99).all() and months.between(1, 12).all():
        return "%Y%m"
    if numbers.between(first * 10**4, last * 10**4 + 9999).all():
        return "%Y%m%d"
    return ""


def _parsed(
    text: pd.Series, place: Callable[[int], str], dayfirst: bool | None, trained: bool | None
) -> tuple[pd.Series, bool | None]:
    """Parse dates of one format, NaT where that fails; return also whether days come first, None
    where no date is ambiguous."""
    if re.match(NUMERIC_DATE, text.iloc[0]) is None:
        return _attempt(text), None
    parts = text.str.extract(NUMERIC_DATE + "(.*)")
    first, second = (pd.to_numeric(parts[i]) for i in (0, 2))
    orders = {True: (0, 2, 3), False: (2, 0, 3)}  # of day, month and year, by `dayfirst`
    if dayfirst is not None:
        orders = {dayfirst: orders[dayfirst]}
    elif (first > 12).any() != (second > 12).any():
        orders.pop(bool((second > 12).any()))
    if dayfirst is None and (parts[0].str.len() == 2).all() and (parts[3].str.len() == 2).all():
        orders[None] = (3, 2, 0)  # the year may come first
    readings = {choice: _numeric_dates(parts, order) for choice, order in orders.items()}
    valid = [choice for choice, dates in readings.items() if not dates.isna().any()]
    valid = valid or [next(iter(readings))]
    uneven = {choice: _unevenness(readings[choice]) for choice in valid[len(valid) == 1 :]}
    ordered = [
        choice
        for choice in valid
        if readings[choice].is_monotonic_increasing or readings[choice].is_monotonic_decreasing
    ]
    best, *others = sorted(valid, key=lambda choice: uneven.get(choice, 0))
    if all(readings[best].equals(readings[c]) or 2 * uneven[best] < uneven[c] for c in others):
        return readings[best], best
    if len(ordered) == 1 or trained in valid:
        best = ordered[0] if len(ordered) == 1 else trained
        return readings[best], best
    row = int((readings[best] != readings[others[0]]).to_numpy().argmax())
    both = " or ".join(f"{readings[choice][row]:%Y-%m-%d}" for choice in valid)
    raise UserError(
        f"{place(row)}: {text.iloc[row]!r} may be {both}, and no row tells which: give --dayfirst "
        "true or false (dayfirst= in Python)"
    )


def _numeric_dates(parts: pd.DataFrame, order: tuple[int, int, int]) -> pd.Series:
    """Parse the parts of dates, of which day, month and year are at these places."""
    day, month, year = (parts[i] for i in order)
    century = pd.Series(np.where(pd.to_numeric(year) < 69, "20", "19"), year.index, dtype="str")
    year = year.where(year.str.len() == 4, century + year)
    return _attempt(year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + parts[4])


def _attempt(text: pd.Series) -> pd.Series:
    """Parse dates of one format, or else of any ISO 8601 ones; NaT where that fails."""
    found = None
    for options in ({}, {"format": "ISO8601"}):
        with warnings.catch_warnings():  # "could not infer format": the caller raises an error
            warnings.simplefilter("ignore", UserWarning)
            try:
                dates = pd.to_datetime(text, errors="coerce", **options)
            except ValueError:  # several UTC offsets, as with daylight-saving time
                dates = pd.to_datetime(text, errors="coerce", utc=True, **options)
        if found is None or dates.isna().sum() < found.isna().sum():
            found = dates
        if not found.isna().any():
            break
    return found


def _unevenness(dates: pd.Series) -> int:
    """Count the steps that differ from the usual one, of dates in the order of time."""
    ordered = pd.DatetimeIndex(dates.dropna().drop_duplicates().sort_values())
    step = usual_step(ordered)
    return 0 if step is None else int(irregular_under(ordered, step).sum())


def localised(times: Times, rows: np.ndarray, freq: Frequency | None) -> Times:
    """Decide in which clock dates with a time zone are naive.

    Steps by the calendar, in days or longer, keep local times; hours and the like, which
    daylight-saving time does not change, are in the UTC offset of the last row.

    `rows` are those of the longest series, in the order of time; `freq` is the step, if given.
    """
    if times.utc is None:
        return times
    last = int(times.utc.argmax())
    offset = times.dates[last] - times.utc[last]
    fixed = times.utc + offset
    if freq is not None:
        local = not isinstance(given_step(freq, False), pd.offsets.Tick)
    else:
        local = _in_local_time(times.dates[rows], fixed[rows])
    if local:
        return times
    clock = replace(times.clock, fixed=timezone(offset.to_pytimedelta()))
    return replace(times, dates=fixed, clock=clock)


def _in_local_time(local: pd.DatetimeIndex, fixed: pd.DatetimeIndex) -> bool:
    """Whether timestamps step by the local calendar; both are the same ones, increasing."""
    gaps = np.diff(fixed.as_unit("s").unique().asi8)
    if not len(gaps) or float(np.median(gaps)) < DAY - 3600:
        return False
    times = [len((dates - dates.normalize()).unique()) for dates in (local, fixed)]
    return times[0] <= times[1]


# Steps


def usual_step(dates: pd.DatetimeIndex, counts_steps: bool = False) -> Step | None:
    """Find the step between most of the increasing `dates`: a frequency that pandas infers from
    them or a block of them (hours, business days, month ends, third Fridays, …), the same day of
    each month, or their most common difference, which alone is meant if they count steps.

    Returns:
        None where there are not two different timestamps.
    """
    dates = dates.as_unit("us").unique()  # nanoseconds end in the year 2262
    if len(dates) < 2:
        return None
    if counts_steps:
        return most_common_step(dates)
    frequencies = _inferred(dates, BLOCK) or _inferred(dates, SHORT_BLOCK)
    candidates = [step for step, _ in frequencies.most_common(3)]
    months = round(float(np.median(np.diff(dates.asi8))) / (30.44 * DAY * 10**6))
    if months and len(set(dates[:SHORT_BLOCK].day)) == 1:
        candidates.append(pd.DateOffset(months=months))
    candidates.append(most_common_step(dates))
    return min(candidates, key=lambda step: irregular_under(dates, step).sum())


def most_common_step(dates: pd.DatetimeIndex) -> Step:
    """The most common difference between at least two increasing, different `dates`."""
    differences, counts = np.unique(np.diff(dates.asi8), return_counts=True)
    return to_offset(pd.Timedelta(int(differences[counts.argmax()]), unit=dates.unit))


def _inferred(dates: pd.DatetimeIndex, block: int) -> Counter[Step]:
    """Count the frequencies that pandas infers from blocks of `dates`."""
    starts = np.linspace(0, max(len(dates) - block, 0), BLOCKS, dtype=int)
    if len(dates) < 3:
        return Counter()
    with pd.option_context("future.infer_freq_returns_offset", True):
        found = [pd.infer_freq(dates[start : start + block]) for start in {0, *starts}]
    return Counter(step for step in found if step is not None)


def given_step(freq: Frequency, counts_steps: bool) -> Step:
    """Read a step that is given: an alias of pandas, or a whole number for whole numbers.

    Raises:
        UserError: it is neither.
    """
    if counts_steps:
        if not str(freq).isdigit() or not int(freq):
            raise UserError(
                f"freq={freq!r}: timestamps are whole numbers: give one, or leave it out"
            )
        return to_offset(pd.Timedelta(int(freq), unit="s"))
    try:
        step = to_offset(freq)
    except (ValueError, TypeError):
        step = None
    if step is None or step.n < 1:
        raise UserError(
            f"freq={freq!r} is no frequency of pandas: use s, min, h, D, B, W-MON, MS, ME, QE, YE "
            "or the like, or a multiple such as 15min"
        )
    return step


def step_name(step: Step, counts_steps: bool = False) -> str:
    """Name a step in a message."""
    if counts_steps:
        start = pd.Timestamp(0)
        return str(int((start + step - start).total_seconds()))
    if isinstance(step, pd.offsets.Hour) and step.n % 24 == 0:
        step = pd.offsets.Day(step.n // 24)
    months = getattr(step, "kwds", {}).get("months")
    return f"{months} month{'s' * (months > 1)}" if months else step.freqstr


def irregular_under(dates: pd.DatetimeIndex, step: Step) -> np.ndarray:
    """Tell which steps of non-decreasing `dates` differ from `step` by more than 1 %, `[rows - 1]`;
    between equal dates there is none."""
    dates = dates.as_unit("us")
    with warnings.catch_warnings():  # some offsets are added one by one
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        expected = (dates[:-1] + step).as_unit("us").asi8
    gaps = np.diff(dates.asi8)
    tolerance = np.median(gaps) * TOLERANCE if len(gaps) else 0
    return (np.abs(expected - dates.asi8[1:]) > tolerance) & (gaps > 0)


def insert_missing_rows(dates: pd.DatetimeIndex, step: Step) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Insert the timestamps that are missing between increasing `dates`.

    Returns:
        All timestamps, and for each the row that has it, -1 where it was inserted, `[rows]`.

    Raises:
        IrregularError: more than half of the steps are not `step`, a timestamp is not a whole
            number of steps after the first, or more rows are missing than there are.
    """
    irregular = irregular_under(dates, step)
    rows = np.arange(len(dates))
    if not irregular.any():
        return dates, rows
    first = int(irregular.argmax()) + 1
    if irregular.sum() * 2 > len(irregular):
        raise IrregularError(
            first, f"does not follow the row above it by {step_name(step)}, as most rows don't"
        )
    fine = dates.as_unit("us")
    usual = float(np.median(np.diff(fine.asi8)))
    steps = np.diff(fine.asi8) / usual
    if steps.sum() > 2 * len(dates) + 1:
        raise IrregularError(
            int(steps.argmax()) + 1, "comes after so long a gap that most rows would be inserted"
        )
    tolerance = pd.Timedelta(int(usual * TOLERANCE), unit="us")
    grid = pd.date_range(fine[0], fine[-1] + tolerance, freq=step, unit="us")
    slots = grid.get_indexer(fine, method="nearest", tolerance=tolerance)
    if (slots < 0).any():
        raise IrregularError(
            int((slots < 0).argmax()), f"is not a whole number of steps of {step_name(step)} later"
        )
    found = np.full(len(grid), -1)
    found[slots] = rows
    complete = grid.as_unit(dates.unit).to_series()
    complete.iloc[slots] = dates
    return pd.DatetimeIndex(complete.array), found


def mark_frequency(
    freq: Frequency | None, dates: pd.DatetimeIndex | None, clock: Clock | None
) -> str:
    """The frequency of time marks: what was given, or the step of the dates by its length; hourly
    where time is counted in steps, or nothing is known."""
    with contextlib.suppress(UserError):  # of pandas' frequencies some have no name of marks
        if isinstance(freq, str) and frequency_unit(freq):
            return freq
    if dates is None or clock.counts_steps:
        return "h"
    limits = {"y": 300 * DAY, "q": 80 * DAY, "m": 27 * DAY, "w": 6.5 * DAY, "d": 0.9 * DAY}
    limits |= {"h": 3600, "t": 60, "s": 0}
    step = usual_step(dates)
    if step is None:
        return "h"
    if isinstance(step, pd.offsets.BDay):
        return "b"
    return next(unit for unit, least in limits.items() if median_step(dates) >= least)


def season_length(dates: pd.DatetimeIndex, clock: Clock) -> int:
    """Steps of the usual season: a day of steps shorter than a day, a week of days (of five
    business days), a year of weeks, months or quarters; else 1, and 0 where dates count steps."""
    if clock.counts_steps:
        return 0
    days = median_step(dates) / DAY
    if days < 1:
        return round(1 / days)
    if days == 1:
        return 7 if (dates.day_of_week >= 5).any() else 5
    longest = {10: 52, 45: 12, 120: 4}  # days of a step: steps of a year
    return next((steps for limit, steps in longest.items() if days < limit), 1)


def median_step(dates: pd.DatetimeIndex) -> float:
    """The median step of increasing dates in seconds, without those of 0; infinite without two."""
    gaps = np.diff(dates) / np.timedelta64(1, "s")
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) if len(gaps) else np.inf


@lru_cache(maxsize=256)
def _known_step(microseconds: bytes) -> Step | None:
    """Return the usual step of timestamps, found once for many series of the same calendar."""
    return usual_step(pd.DatetimeIndex(np.frombuffer(microseconds, "datetime64[us]")))


def step_ahead(dates: pd.DatetimeIndex, counts_steps: bool = False) -> Step | None:
    """The step of a forecast: the usual one of the most recent dates, or else of all."""
    if counts_steps:
        return usual_step(dates, counts_steps)
    recent = dates[-RECENT:].as_unit("us")
    return _known_step(recent.asi8.tobytes()) or usual_step(dates)


def continued(dates: pd.DatetimeIndex, step: Step, steps: int) -> pd.DatetimeIndex:
    """Continue dates by so many steps."""
    return pd.date_range(dates[-1] + step, periods=steps, freq=step)
