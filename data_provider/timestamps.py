"""Parse the timestamps of a CSV, check their spacing, and continue them beyond its end."""

import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from data_provider.checks import and_more, cell
from utils.errors import UserError

if TYPE_CHECKING:
    from data_provider.csv_file import SeriesTable

BLOCK = 10  # consecutive timestamps to infer a frequency from
BLOCKS = 20  # how many of them are tried
RECENT = 100  # timestamps that decide the frequency of a forecast


def parse_timestamps(path: Path, column: pd.Series) -> tuple[pd.DatetimeIndex, str | None]:
    """Parse the column `date`; all its timestamps have the same format.

    Whole numbers that are not years from 1600 to 2200, or dates of eight digits, count time steps;
    they become as many seconds after 1970.

    Returns:
        Timestamps without their UTC offset, and that offset, such as "+02:00"; where the offsets
        differ, timestamps in UTC and "+00:00"; without offsets, an empty string; None for whole
        numbers.

    Raises:
        UserError: a date is missing, can't be parsed, or is earlier than the one above it.
    """
    if column.isna().any():
        row = int(column.isna().to_numpy().argmax())
        raise UserError(f"{cell(path, 'date', row)}: a missing date")
    text = column.astype(str)
    counts_steps = _counts_steps(text)
    parsed = pd.to_datetime(text.astype("int64"), unit="s") if counts_steps else _parse(text)
    if parsed.isna().any():
        row = int(parsed.isna().to_numpy().argmax())
        raise UserError(f"{cell(path, 'date', row)}: {text.iloc[row]!r} is not a date")
    dates = pd.DatetimeIndex(parsed)
    utc_offset = None if counts_steps else ""
    if dates.tz is not None:
        utc_offset = dates[0].isoformat()[-6:]
        dates = dates.tz_localize(None)
    gaps = np.diff(dates.asi8)
    if (gaps < 0).any():
        row = int((gaps < 0).argmax()) + 1
        raise UserError(
            f"{cell(path, 'date', row)}: {text.iloc[row]} is earlier than the row above it "
            f"({text.iloc[row - 1]}); sort the file by date"
        )
    return dates, utc_offset


def _counts_steps(text: pd.Series) -> bool:
    """Whether these are whole numbers, and neither years nor dates of eight digits."""
    if not text.str.fullmatch(r"\s*[+-]?\d{1,10}\s*").all():
        return False
    numbers = text.astype("int64")
    return not any(
        numbers.between(*limits).all() for limits in ((1600, 2200), (1600_01_01, 2200_12_31))
    )


def format_timestamps(dates: pd.DatetimeIndex, offset: str | None) -> pd.Index:
    """Write timestamps as `parse_timestamps` read them; `offset` as it returned it."""
    if offset is None:
        return pd.Index(dates.as_unit("s").asi8)
    parts = "%Y-%m-%d %H:%M:%S" + (".%f" if (dates.microsecond > 0).any() else "")
    return dates.strftime(parts) + offset


def _parse(text: pd.Series) -> pd.Series:
    """Parse dates of one format, NaT where that fails.

    Where the year does not come first, day and month are ambiguous: of the readings, the one with
    the most regular steps is taken.
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
        gaps = np.diff(pd.DatetimeIndex(dates).asi8)
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
    starts = np.linspace(0, max(len(dates) - BLOCK, 0), BLOCKS, dtype=int)
    frequencies = Counter(_infer_freq(dates[start : start + BLOCK]) for start in {0, *starts})
    differences, counts = np.unique(np.diff(dates.asi8), return_counts=True)
    candidates = [
        *(step for step, _ in frequencies.most_common(3) if step is not None),
        to_offset(pd.Timedelta(int(differences[counts.argmax()]), unit="us")),
    ]
    return min(candidates, key=lambda step: _irregular(dates, step).sum())


def _infer_freq(dates: pd.DatetimeIndex) -> pd.offsets.BaseOffset | None:
    with pd.option_context("future.infer_freq_returns_offset", True):
        return pd.infer_freq(dates) if len(dates) >= 3 else None


def _irregular(dates: pd.DatetimeIndex, step: pd.offsets.BaseOffset) -> np.ndarray:
    """Tell which steps of increasing `dates` differ from `step` by more than 1 %, `[rows - 1]`."""
    dates = dates.as_unit("us")
    with warnings.catch_warnings():  # some offsets are added one by one
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        expected = (dates[:-1] + step).as_unit("us").asi8
    gaps = np.diff(dates.asi8)
    repeated = gaps == 0
    tolerance = np.median(gaps[~repeated]) / 100 if not repeated.all() else 0
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
    return _irregular(dates, step), step.freqstr


def warn_of_irregularities(path: Path, text: pd.Series, dates: pd.DatetimeIndex) -> None:
    """Print a warning for the first duplicate timestamp and one for the first irregular step."""

    def warn(rows: np.ndarray, message: Callable[[int], str]) -> None:
        if rows.any():
            row = int(rows.argmax()) + 1
            more = and_more(int(rows.sum()), "such rows")
            print(f"warning: {cell(path, 'date', row)}: {message(row)}{more}", file=sys.stderr)

    warn(np.diff(dates.asi8) == 0, lambda row: f"duplicate timestamp {text.iloc[row]}")
    irregular, frequency = irregular_steps(dates)
    warn(
        irregular,
        lambda row: (
            f"irregular timestamps: {text.iloc[row - 1]} is followed by {text.iloc[row]}, but the "
            f"usual step is {frequency}; rows are treated as evenly spaced"
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


def future_dates(table: "SeriesTable", steps: int) -> pd.DatetimeIndex:
    """Continue a table's timestamps by `steps`, at the usual step of the most recent ones.

    Raises:
        UserError: there are not two different timestamps.
    """
    step = usual_step(table.dates[-RECENT:]) or usual_step(table.dates)
    if step is None:
        raise UserError(
            f"{table.path}: column date: two different timestamps are needed to infer the step "
            "of a forecast"
        )
    return pd.date_range(table.dates[-1] + step, periods=steps, freq=step)
