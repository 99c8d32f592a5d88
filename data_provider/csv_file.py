"""Read a CSV of time series and validate it at the door."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils.errors import UserError


@dataclass(frozen=True)
class SeriesTable:
    """A validated table of time series.

    Attributes:
        path: where it was read from.
        dates: one timestamp a row, not decreasing.
        columns: names of the channels, in the file's order.
        values: `[rows, channels]`, float64, finite.
    """

    path: Path
    dates: pd.DatetimeIndex
    columns: list[str]
    values: np.ndarray


def read_series(path: str | Path) -> SeriesTable:
    """Read a CSV with a `date` column and numeric columns.

    Raises:
        UserError: no such file, no `date` column, no other column, text or a hole in a numeric
            column, a date that can't be parsed or goes backwards. The message names the file,
            the column and the row.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; check --root_path and --data_path "
            "(datasets/README.md says where the data sets come from)"
        )
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", encoding_errors="replace", low_memory=False)
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty") from error
    except (pd.errors.ParserError, ValueError) as error:
        raise UserError(f"{path}: not a CSV table: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"{path}: the rows have more fields than the header")
    frame.columns = [str(column).strip() for column in frame.columns]
    if "date" not in frame.columns:
        raise UserError(f"{path}: no column named date; the columns are {_list(frame.columns)}")
    columns = [column for column in frame.columns if column != "date"]
    if not columns:
        raise UserError(f"{path}: no column beside date")
    if frame.empty:
        raise UserError(f"{path}: a header, but no rows")
    dates = _dates(path, frame["date"])
    values = _values(path, frame[columns])
    return SeriesTable(path, dates, columns, values)


def _place(path: Path, column: str, row: int) -> str:
    """Name a cell; `row` counts from 0."""
    return f"{path}: column {column}, row {row + 1} (line {row + 2})"


def _list(names) -> str:
    names = [str(name) for name in names]
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown}, … ({len(names)} in all)"


def _values(path: Path, frame: pd.DataFrame) -> np.ndarray:
    for column in frame.columns:
        series = frame[column]
        if pd.api.types.is_bool_dtype(series) or not pd.api.types.is_numeric_dtype(series):
            numbers = pd.to_numeric(series.astype(object), errors="coerce")
            text = numbers.isna() & series.notna()
            row = int(text.to_numpy().argmax()) if text.any() else 0
            raise UserError(f"{_place(path, column, row)}: {series.iloc[row]!r} is not a number")
    values = frame.to_numpy(dtype=np.float64)
    holes = ~np.isfinite(values)
    if holes.any():
        row, column = np.argwhere(holes)[0]
        kind = "a missing value" if np.isnan(values[row, column]) else "an infinite value"
        more = int(holes.sum()) - 1
        also = f" ({more} more in the file)" if more else ""
        raise UserError(f"{_place(path, frame.columns[column], row)}: {kind}{also}")
    return values


def _dates(path: Path, column: pd.Series) -> pd.DatetimeIndex:
    text = column.astype(str)
    parsed = None
    # the format of the first date, then mixed ISO spellings, then the day before the month
    for options in ({}, {"format": "ISO8601"}, {"dayfirst": True}):
        with warnings.catch_warnings():  # that no format could be inferred is said below
            warnings.simplefilter("ignore", UserWarning)
            try:
                attempt = pd.to_datetime(text, errors="coerce", **options)
            except ValueError:  # offsets that change, as with summer time
                attempt = pd.to_datetime(text, errors="coerce", utc=True, **options)
        if parsed is None or attempt.isna().sum() < parsed.isna().sum():
            parsed = attempt
        if not parsed.isna().any():
            break
    if parsed.isna().any():
        row = int(parsed.isna().to_numpy().argmax())
        raise UserError(f"{_place(path, 'date', row)}: {text.iloc[row]!r} is not a date")
    dates = pd.DatetimeIndex(parsed)
    if dates.tz is not None:
        dates = dates.tz_localize(None)
    backwards = np.diff(dates.asi8) < 0
    if backwards.any():
        row = int(backwards.argmax()) + 1
        raise UserError(
            f"{_place(path, 'date', row)}: {text.iloc[row]} comes before the row above it "
            f"({text.iloc[row - 1]}); sort the file by date"
        )
    return dates


def future_dates(dates: pd.DatetimeIndex, steps: int) -> pd.DatetimeIndex:
    """Continue timestamps at their own pace: by the calendar where they follow it (months,
    business days), else by their most common step.

    Raises:
        UserError: there are not two different timestamps to tell a step from.
    """
    gaps = np.diff(dates.asi8)
    gaps = gaps[gaps > 0]
    if not len(gaps):
        raise UserError("column date: two different timestamps are needed to tell the step")
    pace = None
    recent = dates[-100:]
    if len(recent) >= 3:
        with warnings.catch_warnings():  # pandas announces another return type; both are taken
            warnings.simplefilter("ignore")
            pace = pd.infer_freq(recent)
    if pace is None:
        steps_seen, counts = np.unique(gaps, return_counts=True)
        pace = pd.Timedelta(int(steps_seen[counts.argmax()]), unit=dates.unit)
    return pd.date_range(dates[-1], periods=steps + 1, freq=pace)[1:]
