"""Checks for all readers of data files: limits, errors of a cell, and cells to numbers."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.files import require_file

MAX_MAGNITUDE = 1e30  # of a value in a file; float32 ends at 3.4e38
NOT_A_NUMBER = f"is not a number up to {MAX_MAGNITUDE:g}"
CHECK = "check {} (datasets/README.md says where the data sets come from)"
MAX_LISTED = 12  # names in a message
SETS = ("ETTh1", "ETTh2", "ETTm1", "ETTm2", "custom")
PARQUET = (".parquet", ".pq")  # suffixes


def target_file(name: str) -> str:
    """Return the file in `root_path` that `--target_data` names, with or without its suffix."""
    return name if name.lower().endswith((".csv", *PARQUET)) else f"{name}.csv"


def require_data_file(path: Path, options: str = "--root_path") -> None:
    """Refuse a path that is not a file.

    Raises:
        UserError: with the `options` to check.
    """
    require_file(path, CHECK.format(options))


def require_same_channels(test: Path, own: int, train: Path, trained: int) -> None:
    """Refuse a test file with another number of channels than the training file."""
    if own != trained:
        has = f"{own} channels, but {train.name} has {trained}"
        raise UserError(f"{test}: {has}; both files need the same channels")


def require_set(data: str) -> None:
    """Refuse the name of a set of series that has no splits.

    Raises:
        UserError: names the known ones.
    """
    if data not in SETS:
        is_file = "." in data or "/" in data
        remedy = f" (a file is named by --data custom --data_path {data})" if is_file else ""
        raise UserError(f"--data {data} is unknown: use one of {', '.join(SETS)}{remedy}")


def cell(source: Path | str, column: object, row: int) -> str:
    """Name a cell of a table, of a file or in memory, by its column and its row, counted from 0."""
    return f"{source}: column {column}, {row_and_line(source, row)}"


class RowError(UserError):
    """Something is wrong with a row: `row`, counted from 0."""

    def __init__(self, row: int, problem: str):
        super().__init__(problem)
        self.row = row


@contextlib.contextmanager
def naming(place: Callable[[int], str]) -> Iterator[None]:
    """Add the name of its cell to an error of a row."""
    try:
        yield
    except RowError as error:
        raise UserError(f"{place(error.row)}: {error}") from error


def refuse_first(wrong: np.ndarray | pd.Series, problem: Callable[[int], str]) -> None:
    """Refuse the first row that is `wrong` `[rows]`, if there is any.

    Raises:
        RowError: with the `problem` of the row.
    """
    wrong = np.asarray(wrong, dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise RowError(row, problem(row))


def row_and_line(source: Path | str, row: int) -> str:
    """Name a row of a table, counted from 0 here, with its line in a CSV, or its position in a
    pandas frame."""
    if isinstance(source, str):
        return f"row {row + 1} (iloc {row})"
    if source.suffix.lower() in (*PARQUET, ".npy"):
        return f"row {row + 1}"
    current = -2  # the header is row -1
    with source.open(encoding="utf-8-sig", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            current += bool(text.strip()) and not (line == 1 and text.startswith("sep="))
            if current == row:
                return f"row {row + 1} (line {line})"
    return f"row {row + 1}"


def option(source: Path | str, name: str, *values: str) -> str:
    """Name an option for a file, or the argument for a frame in memory, with values to choose
    from."""
    if isinstance(source, str):
        return f"{name}={' or '.join(map(repr, values))}"
    return " ".join([f"--{name}", " or ".join(values)]).strip()


def and_more(count: int, what: str = "in the file") -> str:
    """Add to a message about the first of `count` findings that there are more."""
    return f" ({count - 1} more {what})" if count > 1 else ""


def quoted(text: str) -> str:
    """Quote a text, or the beginning of a long one."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def shortened(names: Iterable[object], between: str = ", ") -> str:
    """List names, or the first of many."""
    names = [str(name) for name in names]
    listed = between.join(names[:MAX_LISTED])
    return listed if len(names) <= MAX_LISTED else f"{listed}{between}… ({len(names)} in all)"


# Cells to numbers


def fill_gaps(values: np.ndarray, how: str) -> np.ndarray:
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


def numbers_of(column: pd.Series, in_memory: bool = False) -> np.ndarray:
    """Convert a column to float64, NaN where it is missing, `[rows]`.

    Args:
        in_memory: whether text that looks like a number is none, as in a frame of pandas; in a file
            a column is text if one of its cells is.

    Raises:
        RowError: text, a truth value, a date or a complex number among the numbers.
    """
    if pd.api.types.is_any_real_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise RowError(0, f"{str(column.iloc[0])!r} is not a number; drop the column")
    parsed = pd.to_numeric(column.astype(object), errors="coerce")
    other = column.map(lambda value: isinstance(value, bool | np.bool_ | complex)).to_numpy(bool)
    wrong = (column.notna() & parsed.isna()).to_numpy() | other
    text = column.map(lambda value: isinstance(value, str)).to_numpy(bool)
    if in_memory and not wrong.any():
        wrong = text
    if wrong.any():
        row = int(wrong.argmax())
        found, advice = str(column.iloc[row]), ""
        if found in ("True", "False"):
            advice = f"; turn it into 1 and 0, in pandas by df[{str(column.name)!r}].astype(int)"
        elif in_memory and text[row]:
            advice = "; pandas.to_numeric converts text, or drop the column"
        elif re.fullmatch(r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d*)?\s*", found):
            advice = "; give --thousands , if it has thousands, or --decimal ,"
        raise RowError(row, f"{found!r} is not a number{advice}")
    return parsed.to_numpy(dtype=np.float64, na_value=np.nan)


def numbers_in(text: str, gaps: bool = False) -> np.ndarray:
    """Read the numbers between commas; with `gaps`, `?` and `nan` are missing, and become NaN.

    Raises:
        RowError: a cell, counted from 0, is no number or too large.
    """
    known = text.replace("?", "nan") if gaps else text
    if "_" not in text:  # NumPy reads 1_0 as 10
        with contextlib.suppress(ValueError):
            values = np.array(known.split(","), dtype=np.float64)
            if not (np.abs(values) > MAX_MAGNITUDE).any() and (gaps or not np.isnan(values).any()):
                return values
    parts = pd.Series(text.split(",")).str.strip()
    numbers = pd.to_numeric(parts, errors="coerce")
    missing = parts.str.lower().isin(["?", "nan"]) & gaps
    wrong = ~(numbers.abs() <= MAX_MAGNITUDE) & ~missing
    remedy = "; write ? for a missing value" if gaps else ""

    def problem(number: int) -> str:
        if not (parts[number] or gaps):
            return "a missing value"
        return f"{quoted(parts[number])} {NOT_A_NUMBER}{remedy}"

    refuse_first(wrong, problem)
    return numbers.to_numpy()


def problem_of(value: float) -> str:
    """Say what is wrong with a value."""
    if np.isnan(value):
        return "a missing value"
    return "an infinite value" if np.isinf(value) else f"{value:g} is too large"
