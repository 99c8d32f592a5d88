"""Timestamps of any kind: read a column of them, and write them as they were."""

import re
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, timezone, tzinfo

import numpy as np
import pandas as pd

from data_provider.calendars import DAY, Frequency, given_step, irregular_under, usual_step
from data_provider.checks import RowError, refuse_first

YEARS = (1600, 2200)
EPOCH_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # by the number of digits
EPOCHS = (1_000_000_000, 4_102_444_800)  # seconds after 1970: September 2001 to 2100
LARGEST_COUNT = 9 * 10**12  # a whole number of steps; microseconds of as many seconds fit 64 bits
NUMERIC_DATE = r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)"  # of which the year comes last
OFFSET = r"[:T ]\d{2,}(?:\.\d+)?\s*([+-])(\d{2}):?(\d{2})?\s*$"
ZONE = r"(?:[+-]\d{2}:?(?:\d{2})?|[Zz]|UTC|GMT)\s*$"
HOURS = "%Y%m%d%H"
TIME_ALONE = r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*$"


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

    def written(self, stamps: pd.Index) -> pd.Index:
        """Write timestamps as a CSV has them: without a time of day if it had none; whole numbers
        stay."""
        if not isinstance(stamps, pd.DatetimeIndex):
            return stamps
        naive = stamps.tz_localize(None)
        if self.date_only and (naive == naive.normalize()).all():
            return naive.strftime("%Y-%m-%d")
        precision = "microseconds" if (naive.microsecond > 0).any() else "seconds"
        return pd.Index([stamp.isoformat(" ", precision) for stamp in stamps])

    def axis(self, dates: pd.DatetimeIndex) -> pd.Index:
        """Return the times of a picture: local, without a zone."""
        stamps = self.stamps(dates)
        return stamps.tz_localize(None) if isinstance(stamps, pd.DatetimeIndex) else stamps


@dataclass(frozen=True)
class Times:
    """A column of timestamps `[rows]`: `dates` are naive; `order`, which sorts them, is in UTC if
    there is a time zone; `note` tells how they were read, if that is not obvious."""

    dates: pd.DatetimeIndex
    order: pd.DatetimeIndex
    clock: Clock
    note: str = ""


def read_times(
    column: pd.Series, dayfirst: bool | None = None, trained_dayfirst: bool | None = None
) -> Times:
    """Read a column of timestamps of any kind.

    Whole numbers count steps; but text of years from 1600 to 2200, of seconds, milli-, micro- or
    nanoseconds after 1970 is dates, and so are months (202401), days (20240131) and hours
    (2024013123) of digits.

    Args:
        column: datetimes, dates, periods (by their start), whole numbers, or text.
        dayfirst: whether 05/02/2024 is in February; None decides by all rows.
        trained_dayfirst: what decides if the rows do not.

    Raises:
        RowError: a timestamp is missing, can't be read, or is not in the years 1600 to 2200; or
            nothing decides between day and month.
    """
    refuse_first(column.isna(), lambda row: "a missing timestamp")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    kind = pd.api.types.infer_dtype(column)
    if kind == "string":
        return _of_text(column.astype(str), dayfirst, trained_dayfirst)
    if kind == "integer" or (kind == "floating" and (column % 1 == 0).all()):
        remedy = "convert them, for example by pandas.to_datetime(..., unit='ms')"
        too_large = f"whole numbers count steps, and this one is too large: {remedy}"
        refuse_first(column.abs() > LARGEST_COUNT, lambda row: too_large)
        return _of_digits(column.astype("int64").astype(str), in_memory=True)
    if kind == "period":
        dates = pd.PeriodIndex(column).to_timestamp()
    elif kind in ("datetime64", "datetime", "date"):
        dates = _datetimes(column)
    else:
        kinds = "datetimes, dates, periods, text or whole numbers are"
        raise RowError(0, f"{column.iloc[0]} is no timestamp: {kinds}")
    _require_years(dates, column.astype(str))
    if dates.tz is None:
        return Times(dates, dates, Clock(date_only=bool((dates == dates.normalize()).all())))
    utc = dates.tz_convert("UTC").tz_localize(None)
    return Times(dates.tz_localize(None), utc, Clock(tz=dates.tz))


def _datetimes(column: pd.Series) -> pd.DatetimeIndex:
    """Read a column of datetimes or dates; of several time zones, the first one's counts."""
    try:
        return pd.DatetimeIndex(pd.to_datetime(column))
    except (ValueError, TypeError):
        zones = [value.tzinfo for value in column]
        if None in zones:
            row = zones.index(None)
            raise RowError(row, f"{column.iloc[row]} has no time zone, others have") from None
        return pd.DatetimeIndex(pd.to_datetime(column, utc=True)).tz_convert(zones[0])


def _of_digits(text: pd.Series, in_memory: bool) -> Times:
    """Read whole numbers: years (not `in_memory`), months, days, hours, or else steps."""
    numbers = text.astype("int64")

    def years(places: int) -> bool:
        """Whether all begin with a year, before so many digits."""
        return (numbers // 10**places).between(*YEARS).all()

    if years(0) and not in_memory:
        form = "%Y"
    elif years(2) and (numbers % 100).between(1, 12).all():
        form = "%Y%m"
    elif years(4):
        form = "%Y%m%d"
    elif _are_hours(text):
        form = HOURS
    else:
        seconds = pd.DatetimeIndex(numbers.to_numpy().astype("datetime64[s]"))
        return Times(seconds, seconds, Clock(counts_steps=True))
    dates = _dates_of(text, form)
    refuse_first(dates.isna(), lambda row: f"{text.iloc[row]!r} is not a date")
    digits = form if in_memory else None
    return Times(dates, dates, Clock(digits=digits, date_only=form != HOURS))


def _dates_of(text: pd.Series, form: str) -> pd.DatetimeIndex:
    """Parse dates of this format, NaT where that fails."""
    return pd.DatetimeIndex(pd.to_datetime(text.str.strip(), format=form, errors="coerce"))


def _are_hours(text: pd.Series) -> bool:
    """Whether all are hours as 2024013123; seconds after 1970 have no such years until 2030."""
    ten = text.str.fullmatch(r"\s*\d{10}\s*").all()
    return bool(ten and (_dates_of(text, HOURS).year >= 1900).all())


def _of_text(text: pd.Series, dayfirst: bool | None, trained_dayfirst: bool | None) -> Times:
    unit = _epoch_unit(text)
    if unit is not None:
        utc = pd.DatetimeIndex(pd.to_datetime(text.astype("int64"), unit=unit))
        note = f"whole numbers are read as time after 1970 in {unit}, in UTC"
        return Times(utc, utc, Clock(tz=UTC), note)
    if text.str.fullmatch(r"\s*[+-]?\d{1,10}\s*").all():
        return _of_digits(text, in_memory=False)
    parsed, dayfirst = _parsed(text, dayfirst, trained_dayfirst)
    # what pandas takes for the time of today
    wrong = parsed.isna() | text.str.lower().isin(["now", "today"]) | text.str.match(TIME_ALONE)
    refuse_first(wrong, lambda row: f"{text.iloc[row]!r} is not a date")
    dates = pd.DatetimeIndex(parsed)
    if dates.tz is None:
        has_time = bool(text.str.contains(r":|T\d").any())
        times = Times(dates, dates, Clock(date_only=not has_time, dayfirst=dayfirst))
    else:
        without = ~text.str.contains(ZONE)
        refuse_first(without, lambda row: f"{text.iloc[row]!r} has no UTC offset, others have")
        utc, offsets = dates.tz_convert("UTC").tz_localize(None), utc_offsets(text)
        zone = timezone(offsets[utc.argmax()].to_pytimedelta())  # of the last one
        times = Times(utc + offsets, utc, Clock(tz=zone, dayfirst=dayfirst))
    _require_years(times.dates, text)
    return times


def _require_years(dates: pd.DatetimeIndex, text: pd.Series) -> None:
    first, last = YEARS

    def problem(row: int) -> str:
        within = f"which is not within {first} to {last}"
        return f"{text.iloc[row]!r} is read as the year {dates.year[row]}, {within}"

    refuse_first((dates.year < first) | (dates.year > last), problem)


def utc_offsets(text: pd.Series) -> pd.TimedeltaIndex:
    """Read the UTC offsets that times end with; none and Z are 0."""
    parts = text.str.extract(OFFSET)
    hours, minutes = (pd.to_numeric(parts[i]).fillna(0) for i in (1, 2))
    minutes = np.where(parts[0] == "-", -1, 1) * (hours * 60 + minutes)
    return pd.to_timedelta(minutes.to_numpy(), unit="min")


def _epoch_unit(text: pd.Series) -> str | None:
    """The unit of whole numbers that count time after 1970 and are in this century; else None."""
    unit = EPOCH_UNITS.get(len(text.iloc[0].strip()))
    if unit is None or not text.str.fullmatch(r"\s*\d{10,19}\s*").all() or _are_hours(text):
        return None
    seconds = pd.to_numeric(text) // (pd.Timedelta("1s") // pd.Timedelta(1, unit))
    return unit if seconds.between(*EPOCHS).all() else None


def _parsed(
    text: pd.Series, dayfirst: bool | None, trained: bool | None
) -> tuple[pd.Series, bool | None]:
    """Parse dates of one format, NaT where that fails; return also whether days come first, None
    where no date is ambiguous."""
    if re.match(NUMERIC_DATE, text.iloc[0]) is None:
        return _attempt(text), None
    parts = text.str.extract(f"^{NUMERIC_DATE}(.*)")
    orders = {True: (0, 2, 3), False: (2, 0, 3)}  # of day, month and year, by `dayfirst`
    if dayfirst is not None:
        orders = {dayfirst: orders[dayfirst]}
    elif (parts[[0, 3]].apply(lambda part: part.str.len()) == 2).all(axis=None):
        orders[None] = (3, 2, 0)  # the year may come first
    readings = {choice: _numeric_dates(parts, order) for choice, order in orders.items()}
    wrong = {choice: dates.isna().sum() for choice, dates in readings.items()}
    valid = [choice for choice in orders if not wrong[choice]]
    if len(valid) < 2:
        best = min(orders, key=wrong.get)
        return readings[best], best
    uneven = {choice: _unevenness(readings[choice]) for choice in valid}
    best, *others = sorted(valid, key=uneven.get)
    if not all(readings[best].equals(readings[c]) or 2 * uneven[best] < uneven[c] for c in others):
        ordered = [
            choice
            for choice in valid
            if readings[choice].is_monotonic_increasing or readings[choice].is_monotonic_decreasing
        ]
        if len(ordered) != 1 and trained not in valid:
            row = int((readings[best] != readings[others[0]]).to_numpy().argmax())
            both = " or ".join(f"{readings[choice][row]:%Y-%m-%d}" for choice in valid)
            raise RowError(
                row,
                f"{text.iloc[row]!r} may be {both}, and no row tells which: give --dayfirst true "
                "or false (dayfirst= in Python)",
            )
        best = ordered[0] if len(ordered) == 1 else trained
    return readings[best], best


def _numeric_dates(parts: pd.DataFrame, order: tuple[int, int, int]) -> pd.Series:
    """Parse the parts of dates, of which day, month and year are at these places."""
    day, month, year = (parts[i] for i in order)
    century = pd.Series(np.where(pd.to_numeric(year) < 69, "20", "19"), year.index, dtype="str")
    year = year.where(year.str.len() == 4, century + year)
    return _attempt(year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + parts[4])


def _attempt(text: pd.Series) -> pd.Series:
    """Parse dates of one format, or else of any ISO 8601 ones; NaT where that fails."""

    def parsed(**options: str) -> pd.Series:
        try:
            return pd.to_datetime(text, errors="coerce", **options)
        except ValueError:  # several UTC offsets, as with daylight-saving time
            return pd.to_datetime(text, errors="coerce", utc=True, **options)

    with warnings.catch_warnings():  # "could not infer format": the caller raises an error
        warnings.simplefilter("ignore", UserWarning)
        return min(parsed(), parsed(format="ISO8601"), key=lambda dates: dates.isna().sum())


def _unevenness(dates: pd.Series) -> int:
    """Count the steps that differ from the usual one, of dates in the order of time."""
    ordered = pd.DatetimeIndex(dates.dropna().drop_duplicates().sort_values())
    step = usual_step(ordered)
    return 0 if step is None else int(irregular_under(ordered, step).sum())


def localised(times: Times, rows: np.ndarray, freq: Frequency | None) -> Times:
    """Decide in which clock dates with a time zone are naive: steps by the calendar, in days or
    longer, keep local times; hours and the like, which daylight-saving time does not change, are in
    the UTC offset of the last row. `rows` are those of the longest series, in the order of time."""
    if times.clock.tz is None:
        return times
    last = int(times.order.argmax())
    offset = times.dates[last] - times.order[last]
    fixed = times.order + offset
    if freq is not None:
        local = not isinstance(given_step(freq, False), pd.offsets.Tick)
    else:
        gaps = np.diff(fixed[rows].as_unit("s").unique().asi8)
        hours = [
            len((dates - dates.normalize()).unique()) for dates in (times.dates[rows], fixed[rows])
        ]
        local = len(gaps) and np.median(gaps) >= DAY - 3600 and hours[0] <= hours[1]
    if local:
        return times
    clock = replace(times.clock, fixed=timezone(offset.to_pytimedelta()))
    return replace(times, dates=fixed, clock=clock)
