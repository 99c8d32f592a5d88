"""Read a CSV of time series and validate it."""

import contextlib
import csv
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.checks import (
    MAX_LISTED,
    MAX_MAGNITUDE,
    and_more,
    cell,
    require_data_file,
    row_and_line,
    shortened,
)
from data_provider.timestamps import parse_timestamps, warn_of_irregularities
from utils.errors import UserError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class SeriesTable:
    """A validated table of time series.

    Attributes:
        path: the file.
        dates: one timestamp a row, non-decreasing, in the file's local time, or in UTC where the
            UTC offsets differ.
        offset: the UTC offset, such as "+02:00"; empty where the file has none, None where its
            dates are whole numbers, which are then seconds after 1970.
        columns: names of the channels, in the file's order.
        values: `[rows, channels]`, float64, finite.
        filled: number of missing and infinite values that were filled.
    """

    path: Path
    dates: pd.DatetimeIndex
    offset: str | None
    columns: list[str]
    values: np.ndarray
    filled: int = 0


def read_series(path: str | Path, fill: str | None = None) -> SeriesTable:
    """Read a CSV with a column `date` and numeric columns.

    Columns may be separated by semicolons or tabs if the header is; numbers may then have decimal
    commas. One line reports that. Duplicate and irregularly spaced timestamps get a warning each.

    Args:
        path: the file.
        fill: how to fill missing and infinite values, see `fill_missing`; one line reports their
            number. None refuses them.

    Raises:
        UserError: no such file, no CSV, no column `date`, no other column, a column without a
            name, two columns of the same name, text or a missing value in a numeric column, a
            date that can't be parsed or is earlier than the one above it. The message names the
            file, the column and the row.
    """
    path = Path(path)
    require_data_file(path, "--root_path and --data_path, or --target_data")
    delimiter = _delimiter(path)
    names = _header(path, delimiter)
    frame = _read_table(path, names, delimiter)
    dates, offset = parse_timestamps(path, frame["date"])
    columns = [name for name in names if name != "date"]
    values = numbers(path, frame[columns])
    missing = ~np.isfinite(values)
    if fill:
        _require_a_number(path, columns, values)
        _refuse_values(path, columns, values, (np.abs(values) > MAX_MAGNITUDE) & ~missing)
        if missing.any():
            values = fill_missing(values, fill)
            print(f"{path}: {_describe_filled(path, columns, missing)}, --fill_missing {fill}")
    else:
        _refuse_values(path, columns, values, ~(np.abs(values) <= MAX_MAGNITUDE))
    warn_of_irregularities(path, frame["date"].astype(str), dates)
    return SeriesTable(path, dates, offset, columns, values, int(missing.sum()))


def fill_missing(values: np.ndarray, how: str) -> np.ndarray:
    """Fill missing and infinite values of `[rows, columns]`, column by column.

    Args:
        values: a column without a finite value becomes NaN.
        how: "linear" interpolates over rows and repeats the first and last value at the ends;
            "ffill" repeats the previous value, and the first one at the start.
    """
    frame = pd.DataFrame(np.where(np.isfinite(values), values, np.nan))
    linear = how == "linear"
    filled = frame.interpolate(limit_direction="both") if linear else frame.ffill().bfill()
    return np.ascontiguousarray(filled.to_numpy())


def _describe_filled(path: Path, columns: list[str], missing: np.ndarray) -> str:
    """Report how many values `[rows, columns]` were filled, in which columns, and the first row."""
    counts = missing.sum(axis=0)
    affected = np.flatnonzero(counts)
    parts = [
        f"{columns[i]} {counts[i]}, the first in {row_and_line(path, int(missing[:, i].argmax()))}"
        for i in affected[:MAX_LISTED]
    ]
    more = f"; … ({len(affected)} columns in all)" if len(affected) > MAX_LISTED else ""
    return f"missing or infinite values filled: {counts.sum():,} ({'; '.join(parts)}{more})"


def _delimiter(path: Path) -> str:
    """Find the delimiter with which the header has a column `date`; a comma if there is none."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if line.strip()), "")
    with contextlib.suppress(csv.Error):  # no CSV, as the reader of the table will say
        for delimiter in DELIMITERS:
            names = next(csv.reader([header], delimiter=delimiter), [])
            if "date" in [name.strip() for name in names]:
                return delimiter
    return ","


def _read_table(path: Path, names: list[str], delimiter: str) -> pd.DataFrame:
    """Read the rows under the header.

    Where commas do not separate columns, they may be decimal commas: of the two readings, the one
    with more numeric columns is taken.
    """
    tables = {}
    for decimal in ".," if delimiter != "," else ".":
        frame = read_frame(path, sep=delimiter, decimal=decimal)
        frame.columns = names
        tables[decimal] = frame
    decimal = max(tables, key=lambda sign: _numeric_columns(tables[sign]))
    if delimiter != ",":
        commas = ", numbers with decimal commas" if decimal == "," else ""
        print(f"{path}: columns are separated by {DELIMITERS[delimiter]}{commas}")
    return tables[decimal]


def _numeric_columns(frame: pd.DataFrame) -> int:
    return sum(pd.api.types.is_numeric_dtype(kind) for kind in frame.drop(columns="date").dtypes)


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
                compression=None,
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


def _header(path: Path, delimiter: str) -> list[str]:
    """Read the column names, which are unique and not empty."""
    row = read_frame(path, header=None, nrows=1, dtype=str, sep=delimiter, keep_default_na=False)
    names = ["" if pd.isna(name) else str(name).strip() for name in row.iloc[0]]
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise UserError(f"{path}: columns are separated by {names[0][4:5]!r}: use commas")
    if "date" not in names:
        raise UserError(f"{path}: no column named date; the columns are {shortened(names)}")
    if len(names) == 1:
        raise UserError(f"{path}: no column besides date")
    name, count = Counter(names).most_common(1)[0]
    if "" in names:
        raise UserError(
            f"{path}: column {names.index('') + 1} has no name: name it, or remove it if it is a "
            "row index"
        )
    if count > 1:
        raise UserError(f"{path}: {count} columns are named {name}")
    return names


def numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """Convert a table to `[rows, columns]`, float64, NaN where a cell is missing.

    Raises:
        UserError: text among the numbers.
    """
    columns = []
    for name, column in frame.items():
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            parsed = pd.to_numeric(column.astype(object), errors="coerce")
            boolean = column.map(lambda value: isinstance(value, bool))
            text = (column.notna() & (parsed.isna() | boolean)).to_numpy()
            if text.any():
                row = int(text.argmax())
                found = str(column.iloc[row])
                raise UserError(f"{cell(path, name, row)}: {found!r} is not a number")
            column = parsed  # integers beyond 64 bits
        columns.append(column.to_numpy(dtype=np.float64))
    return np.stack(columns, axis=1)


def _require_a_number(path: Path, columns: list[str], values: np.ndarray) -> None:
    """Refuse a column that has nothing to fill its gaps from."""
    empty = ~np.isfinite(values).any(axis=0)
    if empty.any():
        raise UserError(f"{path}: column {columns[empty.argmax()]}: not a single number in it")


def _refuse_values(path: Path, columns: list[str], values: np.ndarray, bad: np.ndarray) -> None:
    """Name the first of the `bad` values `[rows, columns]`, if there are any."""
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    value = values[row, column]
    if np.isnan(value):
        problem = "a missing value"
    elif np.isinf(value):
        problem = "an infinite value"
    else:
        problem = f"{value:g} is too large"
    advice = "" if np.isfinite(value) else "; fill it with --fill_missing linear or ffill"
    more = and_more(int(bad.sum()))
    raise UserError(f"{cell(path, columns[column], row)}: {problem}{more}{advice}")
