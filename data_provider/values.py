"""Cells to numbers, and gaps between numbers filled."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from utils.errors import UserError


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


def numbers_of(
    column: pd.Series, place: Callable[[int], str], in_memory: bool = False
) -> np.ndarray:
    """Convert a column to float64, NaN where it is missing, `[rows]`.

    Args:
        place: names the cell of a row, counted from 0, for messages.
        in_memory: whether text that looks like a number is none, as in a frame of pandas; in a file
            a column is text if one of its cells is.

    Raises:
        UserError: text, a truth value or a date among the numbers.
    """
    if column.dtype == np.float64:
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise UserError(f"{place(0)}: {str(column.iloc[0])!r} is not a number; drop the column")
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
        raise UserError(f"{place(row)}: {found!r} is not a number{advice}")
    return parsed.to_numpy(dtype=np.float64, na_value=np.nan)


def problem_of(value: float) -> str:
    """Say what is wrong with a value."""
    if np.isnan(value):
        return "a missing value"
    return "an infinite value" if np.isinf(value) else f"{value:g} is too large"
