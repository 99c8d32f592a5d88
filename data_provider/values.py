"""Cells to numbers, and gaps between numbers filled."""

import contextlib

import numpy as np
import pandas as pd

from data_provider.checks import MAX_MAGNITUDE, NOT_A_NUMBER, RowError, quoted, refuse_first


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
        RowError: text, a truth value or a date among the numbers.
    """
    if column.dtype == np.float64:
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise RowError(0, f"{str(column.iloc[0])!r} is not a number; drop the column")
    parsed = pd.to_numeric(column.astype(object), errors="coerce")
    boolean = column.map(lambda value: isinstance(value, bool | np.bool_)).to_numpy(bool)
    wrong = (column.notna() & parsed.isna()).to_numpy() | boolean
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
        elif pd.Series([found]).str.fullmatch(r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d*)?\s*").item():
            advice = "; give --thousands , if it has thousands, or --decimal ,"
        raise RowError(row, f"{found!r} is not a number{advice}")
    return parsed.to_numpy(dtype=np.float64, na_value=np.nan)


def numbers_in(text: str, gaps: bool = False) -> np.ndarray:
    """Read the numbers between commas; with `gaps`, `?` and `nan` are missing, and become NaN.

    Raises:
        RowError: a cell, counted from 0, is no number or too large.
    """
    known = text.replace("?", "nan") if gaps else text
    with contextlib.suppress(ValueError):
        values = np.array(known.split(",") if "_" not in text else "", dtype=np.float64)
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
