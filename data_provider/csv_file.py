"""Read a CSV of time series and validate it at the door."""

import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.files import require_file

LARGEST = 1e30  # number that a file may hold: beyond it squares leave float32 behind
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
LISTED = 12  # columns that a message names
MONTH = pd.Timedelta(days=365.25 / 12)
MONTH_SLACK = pd.Timedelta(days=3.5)  # months of 28 days, and months that end on a business day


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
        filled: number of missing and infinite values that were filled.
    """

    path: Path
    dates: pd.DatetimeIndex
    offset: str
    columns: list[str]
    values: np.ndarray
    filled: int = 0


def read_series(path: str | Path, fill: str | None = None) -> SeriesTable:
    """Read a CSV with a `date` column and numeric columns.

    Columns may be parted by semicolons or tabs where the header says so, and numbers may then have
    decimal commas; a line says that. Timestamps that stand twice or are not evenly spaced are each
    said in a warning line.

    Args:
        path: the file.
        fill: what to put where a value is missing or infinite, see `fill_holes`; a line says how
            many there were. None refuses them.

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
    delimiter = _delimiter(path)
    names = _header(path, delimiter)
    frame = _read_table(path, names, delimiter)
    dates, offset = _dates(path, frame["date"])
    columns = [name for name in names if name != "date"]
    values = numbers(path, frame[columns])
    holes = ~np.isfinite(values)
    _refuse_values(path, columns, values, ~(np.abs(values) <= LARGEST), fill is not None)
    if fill and holes.any():
        values = fill_holes(values, fill)
        print(f"{path}: {describe_filled(path, columns, holes)}, --fill_missing {fill}")
    _warn_of_timestamps(path, frame["date"].astype(str), dates)
    return SeriesTable(path, dates, offset, columns, values, int(holes.sum()))


def fill_holes(values: np.ndarray, how: str) -> np.ndarray:
    """Fill what is not finite in `values` `[rows, columns]`, column by column.

    Args:
        values: each column has a finite value at least.
        how: "linear" interpolates between the values before and after, by row number, and goes on
            with the first and last one at the ends; "ffill" goes on with the last one before, and
            at the start with the first one there is.
    """
    values, rows = values.copy(), np.arange(len(values))
    for column in values.T:
        holes = ~np.isfinite(column)
        known = rows[~holes]
        if how == "linear":
            column[holes] = np.interp(rows[holes], known, column[known])
        else:
            latest = np.searchsorted(known, rows[holes], side="right") - 1
            column[holes] = column[known[np.maximum(latest, 0)]]
    return values


def describe_filled(path: Path, columns: list[str], holes: np.ndarray) -> str:
    """Say how many `holes` `[rows, columns]` were filled, in which columns and from where on."""
    counts = holes.sum(axis=0)
    concerned = np.flatnonzero(counts)
    parts = [
        f"{columns[i]} {counts[i]}, the first in {_row(path, int(holes[:, i].argmax()))}"
        for i in concerned[:LISTED]
    ]
    more = f"; … ({len(concerned)} columns in all)" if len(concerned) > LISTED else ""
    return f"missing or infinite values filled: {counts.sum():,} ({'; '.join(parts)}{more})"


def _delimiter(path: Path) -> str:
    """Tell by the header what parts the columns: where it names `date`, else commas."""
    first = read_frame(
        path, header=None, nrows=1, dtype=str, sep="\0", quoting=csv.QUOTE_NONE
    ).iloc[0, 0]
    for delimiter in DELIMITERS:
        if "date" in [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]:
            return delimiter
    return ","


def _read_table(path: Path, names: list[str], delimiter: str) -> pd.DataFrame:
    """Read the rows under the header.

    Where columns are not parted by commas, numbers may have decimal commas: taken for such if that
    leaves no text in more columns than decimal points do.
    """
    tables = {}
    for decimal in ".," if delimiter != "," else ".":
        frame = read_frame(path, sep=delimiter, decimal=decimal)
        frame.columns = names
        tables[decimal] = frame
    decimal = max(tables, key=lambda sign: _numeric_columns(tables[sign]))
    if delimiter != ",":
        commas = ", numbers with decimal commas" if decimal == "," else ""
        print(f"{path}: columns are parted by {DELIMITERS[delimiter]}{commas}")
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
    """Read the names of the columns, each of which there is once."""
    row = read_frame(path, header=None, nrows=1, dtype=str, sep=delimiter, keep_default_na=False)
    names = ["" if pd.isna(name) else str(name).strip() for name in row.iloc[0]]
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise UserError(f"{path}: columns are parted by {names[0][4:5]!r}: part them by commas")
    if "date" not in names:
        raise UserError(f"{path}: no column named date; the columns are {shortened(names)}")
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
    return f"{path}: column {column}, {_row(path, row)}"


def _row(path: Path, row: int) -> str:
    seen = -2  # the header is row -1
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            seen += bool(text.strip())
            if seen == row:
                return f"row {row + 1} (line {line})"
    return f"row {row + 1}"


def shortened(names: Iterable[object]) -> str:
    """List names, or the first of many."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown}, … ({len(names)} in all)"


def numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """Take a table as `[rows, columns]`, float64, NaN where a cell is missing.

    Raises:
        UserError: text among the numbers.
    """
    columns = []
    for name, column in frame.items():
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            parsed = pd.to_numeric(column.astype(object), errors="coerce")
            logical = column.map(lambda cell: isinstance(cell, bool))
            text = (column.notna() & (parsed.isna() | logical)).to_numpy()
            if text.any():
                row = int(text.argmax())
                said = str(column.iloc[row])
                raise UserError(f"{place(path, name, row)}: {said!r} is not a number")
            column = parsed  # whole numbers beyond 64 bits
        columns.append(column.to_numpy(dtype=np.float64))
    return np.stack(columns, axis=1)


def _refuse_values(
    path: Path, columns: list[str], values: np.ndarray, bad: np.ndarray, filling: bool
) -> None:
    """Refuse `bad` values `[rows, columns]`; when `filling`, those alone that can't be filled."""
    if filling:
        finite = np.isfinite(values)
        empty = ~finite.any(axis=0)
        if empty.any():
            raise UserError(f"{path}: column {columns[empty.argmax()]}: not a single number in it")
        bad = bad & finite
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    value = values[row, column]
    kind = "a missing value" if np.isnan(value) else f"{value:g} is too large"
    if np.isinf(value):
        kind = "an infinite value"
    more = int(bad.sum()) - 1
    also = f" ({more} more in the file)" if more else ""
    advice = "" if np.isfinite(value) else "; --fill_missing linear or ffill accepts such"
    raise UserError(f"{place(path, columns[column], row)}: {kind}{also}{advice}")


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
    return dates, offset


def _warn_of_timestamps(path: Path, text: pd.Series, dates: pd.DatetimeIndex) -> None:
    """Say where a timestamp first stands twice, and where one first is out of step."""

    def warn(rows: np.ndarray, message: Callable[[int], str]) -> None:
        if rows.any():
            row, more = int(rows.argmax()) + 1, int(rows.sum()) - 1
            also = f" ({more} more such rows)" if more else ""
            print(f"warning: {place(path, 'date', row)}: {message(row)}{also}", file=sys.stderr)

    warn(np.diff(dates.asi8) == 0, lambda row: f"{text.iloc[row]} stands twice")
    out_of_step, usual = irregular_steps(dates)
    warn(
        out_of_step,
        lambda row: (
            f"irregular timestamps: {text.iloc[row - 1]} is followed by {text.iloc[row]}, "
            f"where the usual step is {usual}; rows are taken as evenly spaced"
        ),
    )


def irregular_steps(dates: pd.DatetimeIndex) -> tuple[np.ndarray, str]:
    """Find the steps between `dates` that differ from the usual one.

    The usual step is a fixed time, a number of months (of any length, so years too) or a business
    day: whichever fits most rows. Timestamps that stand twice are no steps.

    Returns:
        Whether the step to the next row is irregular `[rows - 1]`, bool, and the usual step in
        words.
    """
    dates = dates.as_unit("us")  # nanoseconds do not reach beyond the year 2262
    gaps = np.diff(dates.asi8)
    moved = gaps > 0
    different = dates[np.append(True, moved)]
    pace = _pace(different)
    if pace is not None and len(pd.date_range(dates[0], dates[-1], freq=pace)) == len(different):
        return np.zeros(len(gaps), dtype=bool), str(pace)
    if not moved.any():
        return moved, ""
    usual = _most_common(gaps[moved])
    in_words = str(pd.Timedelta(usual, unit="us")).removeprefix("0 days ").removesuffix(" 00:00:00")
    off = {in_words: np.abs(gaps - usual) > usual / 100}
    months = _most_common(np.diff(dates.year * 12 + dates.month)[moved])
    if months:
        in_words = "a month" if months == 1 else f"{months} months"
        off[in_words] = np.abs(gaps - months * (MONTH.value // 1000)) > MONTH_SLACK.value // 1000
    if (dates.normalize() + (dates[0] - dates[0].normalize()) == dates).all():
        days = dates.to_numpy().astype("datetime64[D]")
        off["a business day"] = np.busday_count(days[:-1], days[1:]) != 1
    usual = min(off, key=lambda step: (off[step] & moved).sum())
    return off[usual] & moved, usual


def _most_common(steps: np.ndarray) -> int:
    seen, counts = np.unique(steps, return_counts=True)
    return int(seen[counts.argmax()])


def _pace(dates: pd.DatetimeIndex) -> object:
    """The calendar's or fixed frequency that all dates follow, or None."""
    if len(dates) < 3:
        return None
    with warnings.catch_warnings():  # pandas announces another return type; both are taken
        warnings.simplefilter("ignore")
        return pd.infer_freq(dates)


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
    pace = _pace(dates[-100:])
    if pace is None:
        pace = pd.Timedelta(_most_common(gaps), unit=dates.unit)
    return pd.date_range(dates[-1], periods=steps + 1, freq=pace)[1:]
