"""Parse the timestamps of a CSV, check their spacing, and continue them beyond its end."""

import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from data_provider.checks import and_more, cell, how_to_fill
from utils.errors import UserError

if TYPE_CHECKING:
    from data_provider.series_table import SeriesTable

BLOCK = 10  # consecutive timestamps to infer a frequency from
BLOCKS = 20  # how many of them are tried
RECENT = 100  # timestamps that decide the frequency of a forecast
SHORT_BLOCK = 4  # where no longer block has a frequency
TOLERANCE = 0.01  # of a step, within which timestamps are evenly spaced
DAY = 24 * 60 * 60  # seconds
EPOCH_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # by the number of digits
EPOCHS = (1_000_000_000, 4_102_444_800)  # seconds after 1970: September 2001 to 2100


class IrregularError(ValueError):
    """Timestamps that no rows inserted between them make evenly spaced.

    Attributes:
        row: the first that is amiss, counted from 0.
    """

    def __init__(self, row: int, problem: str):
        super().__init__(problem)
        self.row = row


def parse_timestamps(source: Path | str, column: pd.Series) -> tuple[pd.DatetimeIndex, str | None]:
    """Parse the column `date`, whose timestamps have the same format.

    Whole numbers that are not years from 1600 to 2200, dates of eight digits, or seconds or the
    like after 1970, count time steps; they become as many seconds after 1970.

    Returns:
        Timestamps without their UTC offset, and that offset, such as "+02:00"; without offsets, an
        empty string; None for whole numbers. Where the offsets differ, as with daylight-saving
        time, the offset is that of the last row, and so are the timestamps; if their steps are a
        day or longer, they keep their local times instead.

    Raises:
        UserError: a date is missing or can't be parsed.
    """
    dates, counts_steps = parse_column(
        f"{source}: column date", column, lambda row: cell(source, "date", row)
    )
    if counts_steps:
        return dates, None
    if dates.tz is None:
        return dates, ""
    offsets = utc_offsets(column.astype(str))
    if (offsets != offsets[0]).any():
        local = (dates + offsets).tz_localize(None)
        last = offsets[-1]
        moved = dates.tz_localize(None) + last
        sign, minutes = ("-" if last < pd.Timedelta(0) else "+"), abs(last) // pd.Timedelta("1min")
        offset = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
        return (local if in_local_time(local, moved) else moved), offset
    return dates.tz_localize(None), dates[0].isoformat()[-6:]


def in_local_time(local: pd.DatetimeIndex, utc: pd.DatetimeIndex) -> bool:
    """Whether timestamps step by the local calendar, in days or longer, rather than by hours and
    the like, which daylight-saving time does not change.

    Args:
        local, utc: the same timestamps, increasing, without their offsets.
    """
    gaps = np.diff(utc.as_unit("s").unique().asi8)
    if not len(gaps) or float(np.median(gaps)) < DAY:
        return False
    times = [len((dates - dates.normalize()).unique()) for dates in (local, utc)]
    return times[0] <= times[1]


def parse_column(
    name: str, column: pd.Series, place: Callable[[int], str], in_order: bool = True
) -> tuple[pd.DatetimeIndex, bool]:
    """Parse a column of timestamps of the same format.

    Args:
        name: of the column, with its source, for a line of output.
        place: names the cell of a row, counted from 0, for messages.
        in_order: whether the rows should be in the order of time, which tells day and month apart.

    Returns:
        The timestamps, in UTC where their offsets differ; and whether they count steps.

    Raises:
        UserError: as for `parse_timestamps`.
    """
    if column.isna().any():
        raise UserError(f"{place(int(column.isna().to_numpy().argmax()))}: a missing date")
    text = column.astype(str)
    unit = _epoch_unit(text)
    counts_steps = unit is None and _counts_steps(text)
    if unit is not None:
        parsed = pd.to_datetime(text.astype("int64"), unit=unit, utc=True)
        print(f"{name}: whole numbers are read as time after 1970 in {unit}, in UTC")
    elif counts_steps:
        parsed = pd.to_datetime(text.astype("int64"), unit="s")
    else:
        parsed = _parse(text, in_order)
    if parsed.isna().any():
        row = int(parsed.isna().to_numpy().argmax())
        raise UserError(f"{place(row)}: {text.iloc[row]!r} is not a date")
    return pd.DatetimeIndex(parsed), counts_steps


def require_order(source: Path | str, text: pd.Series, dates: pd.DatetimeIndex) -> None:
    """Require that no date is earlier than the one above it.

    Args:
        text: the dates as they are written.

    Raises:
        UserError: one is.
    """
    gaps = np.diff(dates.asi8)
    if (gaps < 0).any():
        row = int((gaps < 0).argmax()) + 1
        raise UserError(
            f"{cell(source, 'date', row)}: {text.iloc[row]} is earlier than the row above it "
            f"({text.iloc[row - 1]}); sort the file by date"
        )


def without_time(text: pd.Series, dates: pd.DatetimeIndex) -> bool:
    """Whether dates are written without a time of day."""
    has_time = (dates != dates.normalize()).any() or text.str.contains(r":|T\d").any()
    return not has_time and _epoch_unit(text) is None


def utc_offsets(text: pd.Series) -> pd.TimedeltaIndex:
    """Read the UTC offsets that times end with; none and Z are 0."""
    parts = text.str.extract(r"[:T ]\d{2,}(?:\.\d+)?\s*([+-])(\d{2}):?(\d{2})?\s*$")
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


def _counts_steps(text: pd.Series) -> bool:
    """Whether these are whole numbers, and neither years nor dates of eight digits."""
    if not text.str.fullmatch(r"\s*[+-]?\d{1,10}\s*").all():
        return False
    numbers = text.astype("int64")
    return not any(
        numbers.between(*limits).all() for limits in ((1600, 2200), (1600_01_01, 2200_12_31))
    )


def format_timestamps(
    dates: pd.DatetimeIndex, offset: str | None, date_only: bool = False
) -> pd.Index:
    """Write timestamps as `parse_timestamps` read them.

    Args:
        offset: as it returned it. date_only: leave out the time of day if it is 0:00 everywhere.
    """
    if offset is None:
        return pd.Index(dates.as_unit("s").asi8)
    if date_only and (dates == dates.normalize()).all():
        return dates.strftime("%Y-%m-%d") + offset
    parts = "%Y-%m-%d %H:%M:%S" + (".%f" if (dates.microsecond > 0).any() else "")
    return dates.strftime(parts) + offset


def _parse(text: pd.Series, in_order: bool = True) -> pd.Series:
    """Parse dates of one format, NaT where that fails.

    Where the year does not come first, day and month are ambiguous: of the readings, the one with
    the most regular steps is taken, of sorted dates unless they should be `in_order`.
    """
    readings: list[dict] = [{}, {"format": "ISO8601"}]
    ambiguous = not re.match(r"\s*\d{4}", text.iloc[0])
    if ambiguous:
        readings.append({"dayfirst": True})
    attempts = []
    for options in readings:
        with warnings.catch_warnings():  # "could not infer format": the caller raises an error
            warnings.simplefilter("ignore", UserWarning)
            try:
                attempts.append(pd.to_datetime(text, errors="coerce", **options))
            except ValueError:  # several UTC offsets, as with daylight-saving time
                attempts.append(pd.to_datetime(text, errors="coerce", utc=True, **options))
        if not ambiguous and not attempts[-1].isna().any():
            break

    def irregularity(dates: pd.Series) -> tuple[int, int, float]:
        ordered = dates if in_order else dates.dropna().drop_duplicates().sort_values()
        gaps = np.diff(pd.DatetimeIndex(ordered).asi8)
        usual = max(np.median(gaps), 1) if len(gaps) else 1
        return int(dates.isna().sum()), int((gaps < 0).sum()), gaps.max(initial=0) / usual

    return min(attempts, key=irregularity)


def usual_step(dates: pd.DatetimeIndex) -> pd.offsets.BaseOffset | None:
    """Find the step between most of the increasing `dates`: a frequency that pandas infers from
    them or a block of them (hours, business days, month ends, …), or their most common difference.

    Returns:
        None where there are not two different timestamps.
    """
    dates = dates.as_unit("us").unique()  # nanoseconds end in the year 2262
    if len(dates) < 2:
        return None
    frequencies = _inferred(dates, BLOCK) or _inferred(dates, SHORT_BLOCK)
    candidates = [*(step for step, _ in frequencies.most_common(3)), most_common_step(dates)]
    return min(candidates, key=lambda step: irregular_under(dates, step).sum())


def most_common_step(dates: pd.DatetimeIndex) -> pd.offsets.BaseOffset:
    """The most common difference between at least two increasing, different `dates`."""
    differences, counts = np.unique(np.diff(dates.asi8), return_counts=True)
    return to_offset(pd.Timedelta(int(differences[counts.argmax()]), unit=dates.unit))


def _inferred(dates: pd.DatetimeIndex, block: int) -> Counter[pd.offsets.BaseOffset]:
    """Count the frequencies that pandas infers from blocks of `dates`."""
    starts = np.linspace(0, max(len(dates) - block, 0), BLOCKS, dtype=int)
    found = (_infer_freq(dates[start : start + block]) for start in {0, *starts})
    return Counter(step for step in found if step is not None)


def _infer_freq(dates: pd.DatetimeIndex) -> pd.offsets.BaseOffset | None:
    with pd.option_context("future.infer_freq_returns_offset", True):
        return pd.infer_freq(dates) if len(dates) >= 3 else None


def irregular_under(dates: pd.DatetimeIndex, step: pd.offsets.BaseOffset) -> np.ndarray:
    """Tell which steps of increasing `dates` differ from `step` by more than 1 %, `[rows - 1]`."""
    dates = dates.as_unit("us")
    with warnings.catch_warnings():  # some offsets are added one by one
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        expected = (dates[:-1] + step).as_unit("us").asi8
    gaps = np.diff(dates.asi8)
    repeated = gaps == 0
    tolerance = np.median(gaps[~repeated]) * TOLERANCE if not repeated.all() else 0
    return (np.abs(expected - dates.asi8[1:]) > tolerance) & ~repeated


def irregular_steps(dates: pd.DatetimeIndex) -> tuple[np.ndarray, str]:
    """Find the steps between `dates` that differ from the usual one; duplicates are no steps.

    Returns:
        Whether the step to the next row is irregular, `[rows - 1]`, bool, and the usual step as a
        pandas frequency such as "15min".
    """
    step = usual_step(dates)
    if step is None:
        return np.zeros(max(len(dates) - 1, 0), dtype=bool), ""
    return irregular_under(dates, step), step.freqstr


def insert_missing_rows(
    dates: pd.DatetimeIndex, step: pd.offsets.BaseOffset
) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Insert the timestamps that are missing between non-decreasing `dates`; duplicates stay.

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
            first, f"does not follow the row above it by {step.freqstr}, as most rows don't"
        )
    fine = dates.as_unit("us")
    usual = float(np.median(np.diff(fine.unique().asi8)))
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
            int((slots < 0).argmax()), f"is not a whole number of steps of {step.freqstr} later"
        )
    missing = np.setdiff1d(np.arange(len(grid)), slots)
    order = np.argsort(np.concatenate([slots, missing]), kind="stable")
    found = np.concatenate([rows, np.full(len(missing), -1)])[order]
    return dates.append(grid[missing].as_unit(dates.unit))[order], found


def _warn(source: Path | str, rows: np.ndarray, message: Callable[[int], str]) -> None:
    """Print a warning for the first of `rows`: whether a row's step to the next is amiss,
    `[rows - 1]`."""
    if rows.any():
        row = int(rows.argmax()) + 1
        more = and_more(int(rows.sum()), "such rows")
        print(f"warning: {cell(source, 'date', row)}: {message(row)}{more}", file=sys.stderr)


def warn_of_duplicates(source: Path | str, text: pd.Series, dates: pd.DatetimeIndex) -> None:
    """Print a warning for the first duplicate timestamp; `text` is as they are written."""
    repeated = np.diff(dates.asi8) == 0
    _warn(source, repeated, lambda row: f"duplicate timestamp {text.iloc[row]}")


def warn_of_irregularities(source: Path | str, text: pd.Series, dates: pd.DatetimeIndex) -> None:
    """Print a warning for the first irregular step; `text` is as they are written."""
    irregular, frequency = irregular_steps(dates)
    _warn(
        source,
        irregular,
        lambda row: (
            f"irregular timestamps: {text.iloc[row - 1]} is followed by {text.iloc[row]}, but the "
            f"usual step is {frequency}; rows are treated as evenly spaced; "
            f"{how_to_fill(source)} inserts missing rows"
        ),
    )


def season_length(table: "SeriesTable") -> int:
    """Steps of the usual season of a table: a day of steps shorter than a day, a week of days (of
    five business days), a year of weeks, months or quarters; else 1, and 0 where its dates count
    steps."""
    if table.offset is None:
        return 0
    dates = table.dates
    gaps = np.diff(dates) / np.timedelta64(1, "D")
    gaps = gaps[gaps > 0]
    days = float(np.median(gaps)) if len(gaps) else np.inf
    if days < 1:
        return round(1 / days)
    if days == 1:
        return 7 if (dates.day_of_week >= 5).any() else 5
    longest = {10: 52, 45: 12, 120: 4}  # days of a step: steps of a year
    return next((steps for limit, steps in longest.items() if days < limit), 1)


@lru_cache(maxsize=256)
def _known_step(microseconds: bytes) -> pd.offsets.BaseOffset | None:
    """Return the usual step of timestamps, found once for many series of the same calendar."""
    return usual_step(pd.DatetimeIndex(np.frombuffer(microseconds, "datetime64[us]")))


def future_dates(table: "SeriesTable", steps: int) -> pd.DatetimeIndex:
    """Continue a table's timestamps by `steps`, at the usual step of the most recent ones.

    Raises:
        UserError: there are not two different timestamps.
    """
    recent = table.dates[-RECENT:].as_unit("us")
    step = _known_step(recent.asi8.tobytes()) or usual_step(table.dates)
    if step is None:
        raise UserError(
            f"{table.path}: column date: two different timestamps are needed to infer the step "
            "of a forecast"
        )
    return pd.date_range(table.dates[-1] + step, periods=steps, freq=step)
