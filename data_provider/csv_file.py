"""Read a CSV of time series and validate it at the door."""

import re
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.files import require_file

LARGEST = 1e30  # beyond it squares leave float32 behind


@dataclass(frozen=True)
class SeriesTable:
    """A validated table of time series.

    Attributes:
        path: where it was read from.
        dates: one timestamp a row, not decreasing, as the file writes them; in UTC where their
            offsets change.
        offset: what they have behind them, such as "+02:00"; empty where there is none.
        columns: names of the channels, in the file's order.
        values: `[rows, channels]`, float64, finite.
    """

    path: Path
    dates: pd.DatetimeIndex
    offset: str
    columns: list[str]
    values: np.ndarray


def read_series(path: str | Path) -> SeriesTable:
    """Read a CSV with a `date` column and numeric columns.

    A timestamp that stands twice is said in a warning line.

    Raises:
        UserError: no such file, no CSV, no `date` column, no other column, a column without a
            name or two of one name, text or a hole in a numeric column, a date that can't be
            parsed or goes backwards. The message names the file, the column and the row.
    """
    path = Path(path)
    require_file(
        path,
        "check --root_path and --data_path, or --target_data "
        "(datasets/README.md says where the data sets come from)",
    )
    names = _header(path)
    frame = read_frame(path)
    frame.columns = names
    dates, offset = _dates(path, frame["date"])
    columns = [name for name in names if name != "date"]
    return SeriesTable(path, dates, offset, columns, _values(path, frame[columns]))


def read_frame(path: Path, **options: object) -> pd.DataFrame:
    """Read a CSV of any columns; `options` are those of `pandas.read_csv`.

    Raises:
        UserError: the file is not text, empty, without rows or no table.
    """
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise UserError(f"{path}: not a text file, or one in UTF-16: save it as UTF-8")
    try:
        with warnings.catch_warnings():  # without an index, more fields than names are a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                encoding="utf-8-sig",
                encoding_errors="replace",
                low_memory=False,
                index_col=False,
                **options,
            )
    except pd.errors.ParserWarning as error:
        raise UserError(f"{path}: the rows have more fields than the header") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty") from error
    except (pd.errors.ParserError, ValueError) as error:
        raise UserError(f"{path}: not a CSV table: {str(error).strip()}") from error
    if frame.empty:
        raise UserError(f"{path}: a header, but no rows")
    return frame


def _header(path: Path) -> list[str]:
    """Read the names of the columns, each of which there is once."""
    row = read_frame(path, header=None, nrows=1, dtype=str)
    names = ["" if pd.isna(name) else str(name).strip() for name in row.iloc[0]]
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise UserError(f"{path}: columns are parted by {names[0][4:5]!r}: part them by commas")
    if "date" not in names:
        raise UserError(f"{path}: no column named date; the columns are {_list(names)}")
    if len(names) == 1:
        raise UserError(f"{path}: no column beside date")
    name, count = Counter(names).most_common(1)[0]
    if "" in names:
        raise UserError(
            f"{path}: column {names.index('') + 1} has no name: name it, or leave it out if it "
            "only numbers the rows"
        )
    if count > 1:
        raise UserError(f"{path}: {count} columns are named {name}")
    return names


def place(path: Path, column: object, row: int) -> str:
    """Name a cell by its row, which counts from 0 here, and by its line in the file."""
    seen = -2  # the header is row -1
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            seen += bool(text.strip())
            if seen == row:
                return f"{path}: column {column}, row {row + 1} (line {line})"
    return f"{path}: column {column}, row {row + 1}"


def _list(names) -> str:
    names = [str(name) for name in names]
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown}, … ({len(names)} in all)"


def numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """Take a table as `[rows, columns]`, float64, NaN where a cell is missing.

    Raises:
        UserError: text among the numbers.
    """
    for name, column in frame.items():
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            parsed = pd.to_numeric(column.astype(object), errors="coerce")
            text = (parsed.isna() & column.notna()).to_numpy()
            row = int((text if text.any() else column.notna().to_numpy()).argmax())
            raise UserError(f"{place(path, name, row)}: {str(column.iloc[row])!r} is not a number")
    return frame.to_numpy(dtype=np.float64)


def _values(path: Path, frame: pd.DataFrame) -> np.ndarray:
    values = numbers(path, frame)
    bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        value = values[row, column]
        kind = "a missing value" if np.isnan(value) else f"{value:g} is too large"
        if np.isinf(value):
            kind = "an infinite value"
        more = int(bad.sum()) - 1
        also = f" ({more} more in the file)" if more else ""
        raise UserError(f"{place(path, frame.columns[column], row)}: {kind}{also}")
    return values


def _dates(path: Path, column: pd.Series) -> tuple[pd.DatetimeIndex, str]:
    """Parse timestamps; returns them without their offset, and it."""
    if column.isna().any():
        row = int(column.isna().to_numpy().argmax())
        raise UserError(f"{place(path, 'date', row)}: a missing date")
    text = column.astype(str)
    parsed = _parse(text)
    if parsed.isna().any():
        row = int(parsed.isna().to_numpy().argmax())
        raise UserError(f"{place(path, 'date', row)}: {text.iloc[row]!r} is not a date")
    dates = pd.DatetimeIndex(parsed)
    offset = ""
    if dates.tz is not None:
        offset = dates[0].isoformat()[-6:]
        dates = dates.tz_localize(None)
    gaps = np.diff(dates.asi8)
    if (gaps < 0).any():
        row = int((gaps < 0).argmax()) + 1
        raise UserError(
            f"{place(path, 'date', row)}: {text.iloc[row]} comes before the row above it "
            f"({text.iloc[row - 1]}); sort the file by date"
        )
    if (gaps == 0).any():
        row, more = int((gaps == 0).argmax()) + 1, int((gaps == 0).sum()) - 1
        also = f" ({more} more such rows)" if more else ""
        print(
            f"warning: {place(path, 'date', row)}: {text.iloc[row]} stands twice{also}",
            file=sys.stderr,
        )
    return dates, offset


def _parse(text: pd.Series) -> pd.Series:
    """Parse dates written in one way throughout, NaT where that fails.

    Where the year does not come first, day and month may be swapped: of two ways that both parse,
    the one with more regular steps is taken.
    """
    ways: list[dict] = [{}, {"format": "ISO8601"}]
    if not re.match(r"\s*\d{4}", text.iloc[0]):
        ways.append({"dayfirst": True})
    attempts = []
    for way in ways:
        with warnings.catch_warnings():  # that no format could be inferred is said by the caller
            warnings.simplefilter("ignore", UserWarning)
            try:
                attempts.append(pd.to_datetime(text, errors="coerce", **way))
            except ValueError:  # offsets that change, as with summer time
                attempts.append(pd.to_datetime(text, errors="coerce", utc=True, **way))
        if len(ways) == 2 and not attempts[-1].isna().any():
            break

    def irregularity(dates: pd.Series) -> tuple[int, int, float]:
        gaps = np.diff(pd.DatetimeIndex(dates).asi8)
        usual = max(np.median(gaps), 1) if len(gaps) else 1
        return int(dates.isna().sum()), int((gaps < 0).sum()), gaps.max(initial=0) / usual

    return min(attempts, key=irregularity)


def future_dates(table: SeriesTable, steps: int) -> pd.DatetimeIndex:
    """Continue a table's timestamps at their own pace: by the calendar where they follow it
    (months, business days), else by their most common step.

    Raises:
        UserError: there are not two different timestamps to tell a step from.
    """
    dates = table.dates
    gaps = np.diff(dates.asi8)
    gaps = gaps[gaps > 0]
    if not len(gaps):
        raise UserError(
            f"{table.path}: column date: two different timestamps are needed to tell the step "
            "of a forecast"
        )
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
