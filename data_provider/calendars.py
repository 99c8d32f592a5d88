"""The step of timestamps: find it, insert missing timestamps, name it."""

import contextlib
import warnings
from collections import Counter
from functools import lru_cache

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from data_provider.checks import RowError
from utils.errors import UserError
from utils.timefeatures import frequency_unit

BLOCK = 10  # consecutive timestamps to infer a frequency from
BLOCKS = 20  # how many of them are tried
SHORT_BLOCK = 4  # where no longer block has a frequency
RECENT = 100  # timestamps that decide the step of a forecast
TOLERANCE = 0.01  # of a step, within which timestamps are evenly spaced
DAY = 24 * 60 * 60  # seconds

Step = pd.offsets.BaseOffset
Frequency = str | int | Step


def usual_step(dates: pd.DatetimeIndex, counts_steps: bool = False) -> Step | None:
    """Find the step between most of the increasing `dates`: a frequency that pandas infers from
    them or a block of them (hours, business days, month ends, third Fridays, …), the same day of
    each month, their median difference, or the most common one; that alone if they count steps.

    Returns:
        None where there are not two different timestamps.
    """
    dates = dates.as_unit("us").unique()  # nanoseconds end in the year 2262
    if len(dates) < 2:
        return None
    gaps = np.diff(dates.asi8)
    differences, counts = np.unique(gaps, return_counts=True)
    both = differences[counts.argmax()], np.median(gaps)
    most_common, median = (to_offset(pd.Timedelta(int(gap), unit=dates.unit)) for gap in both)
    if counts_steps:
        return most_common
    frequencies = _inferred(dates, BLOCK) or _inferred(dates, SHORT_BLOCK)
    candidates = [step for step, _ in frequencies.most_common(3)]
    months = round(float(np.median(gaps)) / (30.44 * DAY * 10**6))
    if months:  # the 30th is followed by the 28th of February, and that by the 30th
        candidates.append(pd.DateOffset(months=months, day=int(np.bincount(dates.day).argmax())))
    candidates += [most_common, median]
    return min(candidates, key=lambda step: irregular_under(dates, step).sum())


def _inferred(dates: pd.DatetimeIndex, block: int) -> Counter[Step]:
    """Count the frequencies that pandas infers from blocks of `dates`; 365 days are a year."""
    if len(dates) < 3:
        return Counter()
    starts = np.linspace(0, max(len(dates) - block, 0), BLOCKS, dtype=int)
    with pd.option_context("future.infer_freq_returns_offset", True):
        found = [pd.infer_freq(dates[start : start + block]) for start in {0, *starts}]
    return Counter(step for step in found if step not in (None, pd.offsets.Day(365)))


def given_step(freq: Frequency, counts_steps: bool) -> Step:
    """Read a step that is given: an alias of pandas, or a whole number for whole numbers.

    Raises:
        UserError: it is neither.
    """
    if counts_steps:
        if not str(freq).isdigit() or not int(freq):
            remedy = "timestamps are whole numbers: give one, or leave it out"
            raise UserError(f"freq={freq!r}: {remedy}")
        return to_offset(pd.Timedelta(int(freq), unit="s"))
    try:
        step = to_offset(freq)
        known = step is not None and step.n > 0 and to_offset(step.freqstr) == step
    except (ValueError, TypeError):
        known = False  # also if its alias, which is what a saved model keeps, is not all of it
    if not known:
        likely = "s, min, h, D, B, W-MON, MS, ME, QE, YE or the like, or a multiple such as 15min"
        raise UserError(f"freq={freq!r} is no frequency of pandas: use {likely}")
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
        RowError: more than half of the steps are not `step`, a timestamp is not a whole
            number of steps after the first, or more rows are missing than there are.
    """
    irregular = irregular_under(dates, step)
    if irregular.sum() * 2 > len(irregular):
        raise RowError(
            int(irregular.argmax()) + 1,
            f"does not follow the row above it by {step_name(step)}, as most rows don't",
        )
    fine = dates.as_unit("us")
    usual = float(np.median(np.diff(fine.asi8)))
    steps = np.diff(fine.asi8) / usual
    if steps.sum() > 2 * len(dates) + 1:
        raise RowError(
            int(steps.argmax()) + 1, "comes after so long a gap that most rows would be inserted"
        )
    tolerance = pd.Timedelta(int(usual * TOLERANCE), unit="us")
    grid = pd.date_range(fine[0], fine[-1] + tolerance, freq=step, unit="us")
    slots = grid.get_indexer(fine, method="nearest", tolerance=tolerance)
    if (slots < 0).any():
        raise RowError(
            int((slots < 0).argmax()), f"is not a whole number of steps of {step_name(step)} later"
        )
    found = np.full(len(grid), -1)
    found[slots] = np.arange(len(dates))
    complete = grid.as_unit(dates.unit).to_series()
    complete.iloc[slots] = dates
    return pd.DatetimeIndex(complete.array), found


def mark_frequency(
    freq: Frequency | None, dates: pd.DatetimeIndex | None, counts_steps: bool | None = None
) -> str:
    """The frequency of time marks: what was given, or the step of the dates by its length; hourly
    where time is counted in steps, or nothing is known."""
    with contextlib.suppress(UserError):  # of pandas' frequencies some have no name of marks
        if isinstance(freq, str) and frequency_unit(freq):
            return freq
    limits = {"y": 300 * DAY, "q": 80 * DAY, "m": 27 * DAY, "w": 6.5 * DAY, "d": 0.9 * DAY}
    limits |= {"h": 3600, "t": 60, "s": 0}
    step = None if dates is None or counts_steps else usual_step(dates)
    if step is None:
        return "h"
    if isinstance(step, pd.offsets.BDay):
        return "b"
    return next(unit for unit, least in limits.items() if median_step(dates) >= least)


def season_length(dates: pd.DatetimeIndex) -> int:
    """Steps of the usual season: a day of steps shorter than a day, a week of days (of five
    business days), a year of weeks, months or quarters; else 1."""
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
