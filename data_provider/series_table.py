"""A table of time series, checked: its timestamps, its numbers, and how its gaps are filled."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.checks import (
    MAX_LISTED,
    MAX_MAGNITUDE,
    and_more,
    cell,
    how_to_fill,
    row_and_line,
    shortened,
)
from data_provider.timestamps import (
    IrregularError,
    insert_missing_rows,
    parse_timestamps,
    require_order,
    usual_step,
    warn_of_duplicates,
    warn_of_irregularities,
    without_time,
)
from utils.errors import UserError

TIME_NAMES = ("date", "ds", "timestamp", "datetime", "time", "date_time", "day", "month", "index")
NO_ROWS = "a header, but no rows"
REPEATED = 0.1  # of a long table's rows, at least, share their date with another one
MAX_ID_COLUMNS = 8  # that are tried in pairs


@dataclass(frozen=True)
class SeriesTable:
    """A validated table of time series.

    Attributes:
        path: the file, or what messages call a frame in memory.
        dates: one timestamp a row, non-decreasing, in the file's local time; see
            `timestamps.parse_timestamps` where its UTC offsets differ.
        offset: the UTC offset, such as "+02:00", where they differ that of the last row; empty
            where the file has none, None where its dates are whole numbers, which are then seconds
            after 1970.
        columns: names of the channels, in the file's order.
        values: `[rows, channels]`, float64, finite.
        filled: number of missing and infinite values that were filled, those of inserted rows too.
        date_only: whether the file's dates have no time of day.
    """

    path: Path | str
    dates: pd.DatetimeIndex
    offset: str | None
    columns: list[str]
    values: np.ndarray
    filled: int = 0
    date_only: bool = False


def series_table(
    frame: pd.DataFrame,
    source: Path | str,
    fill: str | None = None,
    csv_options: Mapping[str, str] | None = None,
) -> SeriesTable:
    """Check a table with a column `date` and numeric columns, and fill its gaps if asked to.

    Duplicate timestamps get a warning, irregularly spaced ones too, unless they are filled.

    Args:
        frame: is not modified.
        source: the file that it was read from, or what messages call it, such as "the frame".
        fill: how to fill missing and infinite values, see `fill_missing`; missing rows are
            inserted first. One line reports how many rows, one how many values. None refuses
            missing values.
        csv_options: with which `pandas.read_csv` reads the file, for a remedy in messages.

    Raises:
        UserError: no column `date`, no other column, a column without a name, two columns of the
            same name, no rows; text or a missing value in a numeric column; a date that can't be
            parsed or is earlier than the one above it; several series one below the other; to be
            filled: a column that starts later, or timestamps too irregular. The message names
            the source, the column and the row.
    """
    names = [str(name) for name in frame.columns]
    require_names(source, names)
    if frame.empty:
        raise UserError(f"{source}: {NO_ROWS}")
    text = frame["date"].astype(str)
    dates, offset = parse_timestamps(source, frame["date"])
    refuse_long_table(source, frame.drop(columns="date"), dates, csv_options or {})
    require_order(source, text, dates)
    columns = [name for name in names if name != "date"]
    values = numbers(source, frame.set_axis(names, axis=1)[columns])
    missing = ~np.isfinite(values)
    table = SeriesTable(source, dates, offset, columns, values, date_only=without_time(text, dates))
    if fill:
        refuse_values(source, columns, values, (np.abs(values) > MAX_MAGNITUDE) & ~missing)
        _refuse_late_columns(source, text, columns, missing)
        table = _filled(table, text, missing, fill)
    else:
        refuse_values(source, columns, values, ~(np.abs(values) <= MAX_MAGNITUDE))
    warn_of_duplicates(source, text, dates)
    if not fill:
        warn_of_irregularities(source, text, dates)
    return table


def _filled(table: SeriesTable, text: pd.Series, missing: np.ndarray, fill: str) -> SeriesTable:
    """Insert missing rows, and fill missing values.

    Args:
        text: timestamps as they are written, `[rows]`. missing: `[rows, channels]`.
    """
    source, dates, rows = table.path, table.dates, np.arange(len(table.dates))
    step = usual_step(dates)
    if step is not None:
        try:
            dates, rows = insert_missing_rows(dates, step)
        except IrregularError as error:
            row = error.row
            raise UserError(
                f"{cell(source, 'date', row)}: {text.iloc[row]} {error}; the rows can't be made "
                f"evenly spaced: correct the dates, or leave out {how_to_fill(source)}"
            ) from error
    values, inserted = with_rows(table.values, rows), rows < 0
    if inserted.any():
        before = int(rows[inserted.argmax() - 1])
        print(
            f"{source}: rows inserted where timestamps are missing: {inserted.sum():,}, the first "
            f"after {row_and_line(source, before)}, {text.iloc[before]} (usual step "
            f"{step.freqstr}), {_fill_argument(source, fill)}"
        )
    if missing.any():
        described = _describe_filled(source, table.columns, missing)
        print(f"{source}: {described}, {_fill_argument(source, fill)}")
    return SeriesTable(
        source,
        dates,
        table.offset,
        table.columns,
        fill_missing(values, fill) if missing.any() or inserted.any() else values,
        int(missing.sum() + inserted.sum() * len(table.columns)),
        table.date_only,
    )


def with_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Take the `rows` of `values` `[rows, columns]`; -1 is a row of NaN."""
    return np.where((rows >= 0)[:, None], values[rows], np.nan)


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


def _fill_argument(source: Path | str, fill: str) -> str:
    return f"fill={fill!r}" if isinstance(source, str) else f"--fill_missing {fill}"


def _describe_filled(source: Path | str, columns: list[str], missing: np.ndarray) -> str:
    """Report how many values `[rows, columns]` were filled, in which columns, and the first row."""
    counts = missing.sum(axis=0)
    affected, first = np.flatnonzero(counts), missing.argmax(axis=0)
    parts = [
        f"{columns[i]} {counts[i]}, the first in {row_and_line(source, int(first[i]))}"
        for i in affected[:MAX_LISTED]
    ]
    more = f"; … ({len(affected)} columns in all)" if len(affected) > MAX_LISTED else ""
    return f"missing or infinite values filled: {counts.sum():,} ({'; '.join(parts)}{more})"


def require_names(source: Path | str, names: list[str]) -> None:
    """Require a column `date` and others, with unique names.

    Raises:
        UserError: otherwise; it says which column to rename, if one looks like the dates.
    """
    if "date" not in names:
        raise UserError(
            f"{source}: no column named date; the columns are {shortened(names)}"
            + _date_under_another_name(source, names)
        )
    if len(names) == 1:
        raise UserError(f"{source}: no column besides date")
    require_distinct(source, names)


def require_distinct(source: Path | str, names: list[str]) -> None:
    """Require unique names.

    Raises:
        UserError: two are the same, or one is empty.
    """
    name, count = Counter(names).most_common(1)[0]
    if "" in names:
        raise UserError(
            f"{source}: column {names.index('') + 1} has no name: name it, or remove it if it is a "
            "row index"
        )
    if count > 1:
        raise UserError(f"{source}: {count} columns are named {name}")


def time_name(names: list[str]) -> str | None:
    """Find the column that is named like timestamps: `date`, `ds`, `timestamp`, …, or None."""
    found = {name.strip().lower(): name for name in reversed(names)}
    return next((found[name] for name in TIME_NAMES if name in found), None)


def _date_under_another_name(source: Path | str, names: list[str]) -> str:
    """Say which column to rename to `date`, if one looks like it."""
    found = time_name(names)
    if found is not None:
        return f": rename {found} to date"
    if "" in names:
        column = names.index("") + 1
        return (
            f": column {column} has no name; if it has the dates, name it date (pandas writes it "
            "so by df.to_csv(..., index_label='date'))"
        )
    return ": one must have the timestamps: name it date"


def refuse_long_table(
    source: Path | str,
    frame: pd.DataFrame,
    dates: pd.DatetimeIndex,
    csv_options: Mapping[str, str],
) -> None:
    """Refuse several series one below the other, told apart by one or two columns.

    Such columns are text or whole numbers, repeat, and tell rows of the same date apart; and many
    dates repeat, or go back where the next series begins. A few duplicate timestamps, as of
    daylight-saving time, are no sign of them.

    Args:
        frame: the columns beside the dates. dates: of its rows. csv_options: see `series_table`.

    Raises:
        UserError: names the columns, and how to arrange the table.
    """
    stamps = pd.Series(dates.asi8)
    repeated = stamps.duplicated(keep=False)
    goes_back = (np.diff(dates.asi8) < 0).any()
    if not repeated.any() and not goes_back:
        return
    ids = {}
    for name, column in frame.items():
        is_text = not pd.api.types.is_numeric_dtype(column) and _has_text(column)
        if is_text or _is_whole(column):
            codes, known = pd.factorize(column)
            if 2 <= len(known) <= len(frame) / 2 and (codes >= 0).all():
                ids[name] = (codes, is_text)

    def identifies(names: tuple[str, ...]) -> bool:
        keys = pd.DataFrame({i: ids[name][0] for i, name in enumerate(names)})
        if keys.assign(date=stamps).duplicated().any():
            return False
        if all(ids[name][1] for name in names) or repeated.mean() >= REPEATED:
            return True
        within = stamps.groupby([keys[i] for i in keys]).diff()
        return bool(goes_back and not (within < 0).any())

    # text first, and of whole numbers the one of fewest values
    order = sorted(ids, key=lambda name: (not ids[name][1], ids[name][0].max()))
    pairs = combinations(order[:MAX_ID_COLUMNS], 2) if repeated.mean() >= REPEATED else ()
    for names in [*((name,) for name in order), *pairs]:
        if identifies(names):
            rest = [name for name in frame.columns if name not in names]
            raise UserError(_long_table(source, names, rest, csv_options))


def _has_text(column: pd.Series) -> bool:
    return bool(
        (column.notna() & pd.to_numeric(column.astype(object), errors="coerce").isna()).any()
    )


def _is_whole(column: pd.Series) -> bool:
    values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64)
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _long_table(
    source: Path | str, ids: tuple[str, ...], rest: list[str], csv_options: Mapping[str, str]
) -> str:
    """Say how to arrange a long table."""
    names = " and ".join(ids)
    wanted = rest[-1] if rest else "y"
    column = "column" if len(ids) == 1 else "columns"
    problem = (
        f"{source}: {column} {names}: dates repeat or go back, and {names} tells their rows apart, "
        "so this is a long table, of several series one below the other: "
    )
    if isinstance(source, str):
        joined = "" if len(ids) == 1 else "join these columns to one, and "
        return f"{problem}{joined}give it as a long frame with its id_col and target_col"
    options = "".join(f", {name}={value!r}" for name, value in csv_options.items())
    joined, columns = "", ids[0]
    if len(ids) > 1:
        columns = "series"
        joined = ".assign(series=lambda t: {})".format(
            " + ' ' + ".join(f"t[{name!r}].astype(str)" for name in ids)
        )
    return (
        f"{problem}give each series a column, in Python by pandas.read_csv({source.name!r}"
        f"{options}, parse_dates=['date']){joined}.pivot(index='date', columns={columns!r}, "
        f"values={wanted!r}).to_csv('wide.csv'), or use exp.forecaster.CALFForecaster, which "
        "takes long tables"
    )


def numbers(source: Path | str, frame: pd.DataFrame) -> np.ndarray:
    """Convert a table to `[rows, columns]`, float64, NaN where a cell is missing.

    Raises:
        UserError: text or a truth value among the numbers.
    """
    columns = [
        column_numbers(column, partial(cell, source, name)) for name, column in frame.items()
    ]
    return np.stack(columns, axis=1)


def column_numbers(column: pd.Series, place: Callable[[int], str]) -> np.ndarray:
    """Convert a column to float64, NaN where it is missing.

    Args:
        place: names the cell of a row, counted from 0, for messages.

    Raises:
        UserError: as for `numbers`.
    """
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        parsed = pd.to_numeric(column.astype(object), errors="coerce")
        boolean = column.map(lambda value: isinstance(value, bool | np.bool_)).to_numpy(bool)
        text = (column.notna() & parsed.isna()).to_numpy() | boolean
        if text.any():
            row = int(text.argmax())
            found = str(column.iloc[row])
            advice = (
                f"; turn True and False into 1 and 0, in pandas by df[{str(column.name)!r}]"
                ".astype(int)"
                if found in ("True", "False")
                else ""
            )
            raise UserError(f"{place(row)}: {found!r} is not a number{advice}")
        column = parsed  # integers beyond 64 bits
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse_late_columns(
    source: Path | str, text: pd.Series, columns: list[str], missing: np.ndarray
) -> None:
    """Refuse to fill a column up to its first value, which nothing but a later one tells."""
    empty = missing.all(axis=0)
    if empty.any():
        raise UserError(f"{source}: column {columns[empty.argmax()]}: not a single number in it")
    if missing[0].any():
        first = (~missing).argmax(axis=0)
        column = int(missing[0].argmax())
        latest = text.iloc[int(first.max())]
        raise UserError(
            f"{source}: column {columns[column]} starts later: its first value is in "
            f"{row_and_line(source, int(first[column]))}, {text.iloc[int(first[column])]}, and "
            f"nothing before it is filled: cut the rows before {latest}, or drop the column"
            + and_more(int(missing[0].sum()), "columns start later")
        )


def refuse_values(
    source: Path | str, columns: list[str], values: np.ndarray, bad: np.ndarray
) -> None:
    """Name the first of the `bad` values `[rows, columns]`, if there are any.

    Raises:
        UserError: there are; it tells how to fill missing ones.
    """
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    problem = problem_of(values[row, column])
    advice = "" if np.isfinite(values[row, column]) else f"; fill it with {how_to_fill(source)}"
    more = and_more(int(bad.sum()))
    raise UserError(f"{cell(source, columns[column], row)}: {problem}{more}{advice}")


def problem_of(value: float) -> str:
    """Say what is wrong with a value."""
    if np.isnan(value):
        return "a missing value"
    return "an infinite value" if np.isinf(value) else f"{value:g} is too large"
