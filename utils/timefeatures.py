"""Calendar features of timestamps, as in Time-Series-Library."""

import re

import numpy as np
import pandas as pd

from utils.errors import UserError

# Each feature maps a DatetimeIndex to values in [-0.5, 0.5].
_SCALED = {
    "second": lambda t: t.second / 59.0 - 0.5,
    "minute": lambda t: t.minute / 59.0 - 0.5,
    "hour": lambda t: t.hour / 23.0 - 0.5,
    "day_of_week": lambda t: t.day_of_week / 6.0 - 0.5,
    "day_of_month": lambda t: (t.day - 1) / 30.0 - 0.5,
    "day_of_year": lambda t: (t.day_of_year - 1) / 365.0 - 0.5,
    "week_of_year": lambda t: (t.isocalendar().week.to_numpy(float) - 1) / 52.0 - 0.5,
    "month": lambda t: (t.month - 1) / 11.0 - 0.5,
}
CALENDAR = {"hour": "hour", "weekday": "day_of_week", "month": "month"}  # known ahead
_DAILY = ("day_of_week", "day_of_month", "day_of_year")
_FEATURES = {
    "year": (),
    "quarter": ("month",),
    "month": ("month",),
    "week": ("day_of_month", "week_of_year"),
    "day": _DAILY,
    "hour": ("hour", *_DAILY),
    "minute": ("minute", "hour", *_DAILY),
    "second": ("second", "minute", "hour", *_DAILY),
}
# frequency aliases of all pandas versions
_UNITS = {
    **dict.fromkeys(("A", "Y", "y", "a", "AS", "YS", "YE", "BA", "BY", "BYE", "BYS"), "year"),
    **dict.fromkeys(("Q", "q", "QS", "QE", "BQ", "BQE", "BQS"), "quarter"),
    **dict.fromkeys(("M", "m", "MS", "ME", "BM", "BME", "BMS"), "month"),
    **dict.fromkeys(("W", "w"), "week"),
    **dict.fromkeys(("D", "d", "B", "b", "C"), "day"),
    **dict.fromkeys(("H", "h", "BH", "bh"), "hour"),
    **dict.fromkeys(("T", "t", "min"), "minute"),
    **dict.fromkeys(("S", "s"), "second"),
}


def frequency_unit(freq: str) -> str:
    """Return the unit of a frequency such as `h`, `H`, `15min`, `t`, `W-SUN` or `QE-DEC`; a
    `UserError` if it is unknown."""
    match = re.fullmatch(r"\d*\s*([A-Za-z]+)(-[A-Za-z]+)?", freq)
    unit = _UNITS.get(match.group(1)) if match else None
    if unit is None:
        raise UserError(
            f"--freq {freq} is not a frequency: use s, t, h, d, b, w, m, q or y, "
            "or a multiple such as 15min"
        )
    return unit


def calendar(dates: pd.DatetimeIndex) -> np.ndarray:
    """Compute hour, weekday and month `[rows, 3]`; each has a variance of about 1 where all its
    values are as frequent."""
    columns = [np.asarray(_SCALED[name](dates), dtype=float) for name in CALENDAR.values()]
    return np.stack(columns, axis=1) * np.sqrt(12)


def mark_count(freq: str, embed: str = "timeF") -> int:
    """Count the features that `time_features` computes; yearly data have none."""
    return time_features(pd.DatetimeIndex(["2000-01-01"]), freq, embed).shape[1]


def time_features(dates: pd.DatetimeIndex, freq: str, embed: str = "timeF") -> np.ndarray:
    """Compute time marks `[rows, features]` of timestamps.

    Args:
        freq: sampling frequency, which determines the features.
        embed: "timeF" for features scaled to [-0.5, 0.5]; any other value for the integers month,
            day, weekday, hour and, for minute data, quarter of an hour.
    """
    unit = frequency_unit(freq)
    if embed == "timeF":
        columns = [_SCALED[name](dates) for name in _FEATURES[unit]]
    else:
        columns = [dates.month, dates.day, dates.day_of_week, dates.hour]
        if unit == "minute":
            columns.append(dates.minute // 15)
    if not columns:
        return np.empty((len(dates), 0))
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
