"""Read a CSV or a Parquet file of any columns into a frame, and find its columns."""

import contextlib
import csv
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations, islice
from pathlib import Path

import pandas as pd
from pandas._libs.parsers import STR_NA_VALUES

from data_provider.checks import PARQUET, cell, option, require_data_file, shortened
from data_provider.panel import FRAME, Reading
from utils.bars import clock
from utils.errors import UserError, first_line

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
TIME_NAMES = ("date", "ds", "timestamp", "datetime", "time", "date_time", "day", "month", "index")
REPEATED = 0.1  # of a long table's rows, at least, have the date of another one
MAX_ID_COLUMNS = 8  # that are tried in pairs
# suffixes of what is no CSV, by the first bytes
SIGNATURES = {
    b"PAR1": ".parquet",
    b"PK\3\4": ".zip",
    b"\xd0\xcf\x11\xe0": ".xls",
    b"\x1f\x8b": ".gz",
}
REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV (UTF-8) there"),
    **dict.fromkeys((".zip", ".gz"), "unpack it"),
    ".feather": "save it as CSV or Parquet",
}


def read_table(
    source: str | Path | pd.DataFrame, reading: Reading, name: str = FRAME
) -> tuple[pd.DataFrame, Path | str]:
    """Return the table of a file, or a frame as one of pandas; and its path, or the `name` that
    messages call it."""
    if isinstance(source, str | Path):
        source = Path(source)
        text = (reading.id_col, *([reading.time_col] if reading.time_col else []))
        with clock(f"reading {source}"):
            return read_file(source, text, reading.decimal, reading.thousands), source
    if not isinstance(source, pd.DataFrame):
        if not hasattr(source, "to_pandas"):
            raise UserError(f"a DataFrame or a path is needed, not {type(source).__name__}")
        source = source.to_pandas()
    if source.empty:
        raise UserError(f"{name}: an empty table")
    return source, name


def read_file(
    path: str | Path,
    text: Sequence[str] = (),
    decimal: str | None = None,
    thousands: str | None = None,
) -> pd.DataFrame:
    """Read a CSV or, by its suffix, a Parquet file of any columns.

    In a CSV columns may be separated by semicolons or tabs if the header is, and its numbers may
    then have decimal commas and thousands; a line reports it. Timestamps stay text, and so do the
    columns `text`, letter by letter.

    Args:
        decimal: the sign before decimals; by default all cells decide. thousands: the sign
            between groups of three digits; by default none, unless a cell has both signs.

    Returns:
        A frame whose index counts the rows of the file from 0.

    Raises:
        UserError: no such file, another format, no table, no rows, a column without a name, two
            columns of the same name, or numbers whose signs are ambiguous; the message names the
            cell.
    """
    path = Path(path)
    require_data_file(path, "its name")
    if path.suffix.lower() in PARQUET:
        return _read_parquet(path)
    _refuse_other_formats(path)
    delimiter, above, names = _read_header(path)
    names = names or list(read_csv(path))  # which refuses an empty file, or no table
    other = re.search(r"[;\t|]", names[0])
    if other and len(names) == 1:
        raise UserError(f"{path}: columns are separated by {other[0]!r}: use commas")
    _require_distinct(path, names)
    as_text = {name for name in names if name in (*text, time_name(names))}
    numbers = [name for name in names if name not in as_text]
    layout = {
        "sep": delimiter,
        "skiprows": above,
        "names": names,
        "header": 0,
        "dtype": dict.fromkeys(as_text, str),
        "keep_default_na": False,
        "na_values": {n: [""] if n in as_text else list(STR_NA_VALUES) for n in names},
    }
    if delimiter == "," and decimal is None and thousands is None:
        return read_csv(path, **layout)
    return _with_signs(path, layout, numbers, decimal, thousands)


def time_name(names: Sequence[object]) -> str | None:
    """Find the column that is named like timestamps: `date`, `ds`, `timestamp`, …, or None."""
    exact = {str(name).strip(): name for name in reversed(names)}
    lower = {text.lower(): name for text, name in exact.items()}
    return next((found[n] for n in TIME_NAMES for found in (exact, lower) if n in found), None)


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; a named index is a column."""
    import pyarrow as pa  # takes a while to import

    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = f"not a Parquet file that can be read: {first_line(error)}"
        raise UserError(f"{path}: {why}") from error
    named = [name for name in frame.index.names if name is not None]
    if named or isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names=None if named else "date")
    frame = frame.reset_index(drop=True)
    if frame.empty:
        raise UserError(f"{path}: no rows")
    return frame


def _refuse_other_formats(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    kind = path.suffix.lower()
    if kind not in REMEDIES:
        kind = next((kind for bytes_, kind in SIGNATURES.items() if start.startswith(bytes_)), "")
    if kind == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            kind = ".xlsx" if "xl/workbook.xml" in archive.namelist() else kind
    if kind:
        remedy = REMEDIES.get(kind, f"rename it to {path.stem}.parquet")
        raise UserError(f"{path}: a {kind} file, not a CSV: {remedy}")


def _read_header(path: Path) -> tuple[str, int, list[str]]:
    """Find the delimiter with which the header has a column that is named like timestamps, or else
    the one with the most columns; a first line `sep=;`, as Excel writes it, names it.

    Returns:
        It, how many lines are above the header, and the names there, stripped.
    """
    headers, choices, above = {}, list(DELIMITERS), 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        excel = re.fullmatch(r"\s*sep=(.)\s*", file.readline())
        if excel and excel[1] in DELIMITERS:
            choices, above = [excel[1]], 1
        for delimiter in choices:
            file.seek(0)
            rows = islice(csv.reader(file, delimiter=delimiter), above, None)
            with contextlib.suppress(csv.Error):  # no CSV, as the reader of the table will say
                names = next((row for row in rows if row), [])
                headers[delimiter] = [name.strip() for name in names]

    def likelihood(delimiter: str) -> tuple[bool, bool, int]:
        names = headers[delimiter]
        return "date" in names, time_name(names) is not None, len(names)

    best = max(headers, key=likelihood, default=",")
    return best, above, headers.get(best, [])


def _require_distinct(source: Path | str, names: list[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if "" in names:
        remedy = "name it (date, if it has the timestamps), or remove it"
        raise UserError(f"{source}: column {names.index('') + 1} has no name: {remedy}")
    if count > 1:
        raise UserError(f"{source}: {count} columns are named {name}")


def read_csv(path: Path, **options: object) -> pd.DataFrame:
    """Read a CSV with these options of `pandas.read_csv`.

    Raises:
        UserError: the file is not text, empty, without rows or no table.
    """
    with path.open("rb") as file:
        beginning = file.read(2**16)
    if b"\0" in beginning:
        raise UserError(f"{path}: not a text file, or one in UTF-16: save it as UTF-8")
    try:
        with warnings.catch_warnings():  # without an index, more fields than names are a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                encoding="utf-8-sig",
                low_memory=False,
                compression=None,
                index_col=False,
                **options,
            )
    except pd.errors.ParserWarning as error:
        raise UserError(f"{path}: the rows have more fields than the header") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8: save it as UTF-8") from error
    except (pd.errors.ParserError, ValueError) as error:
        raise UserError(f"{path}: not a CSV table: {str(error).strip()}") from error
    if frame.empty:
        raise UserError(f"{path}: a header, but no rows")
    return frame


# Decimals and thousands


# A cell is of the first kind that it matches: numbers of groups of three digits, whose sign may
# stand between thousands or before decimals; numbers whose sign can only stand before decimals;
# numbers with that sign before decimals and the other one between thousands.
GROUPED = r"\s*[+-]?[1-9]\d{{0,2}}([{sign}]\d{{3}})+\s*"
DECIMAL = r"\s*[+-]?\d*[{sign}]\d*([eE][+-]?\d+)?\s*"
MIXED = r"\s*[+-]?\d{{1,3}}([{other}]\d{{3}})+[{sign}]\d*\s*"
OTHER = {",": ".", ".": ","}


def _with_signs(
    path: Path,
    layout: dict,
    names: list[str],
    decimal: str | None,
    thousands: str | None,
) -> pd.DataFrame:
    """Read a CSV whose numbers may have decimal commas and thousands, about which all cells decide
    together (docs/data.md)."""
    text = read_csv(path, **layout | {"dtype": str})
    cells = text[names].stack().dropna().astype(str)  # noqa: PD013 - melt goes by columns
    cells = cells[cells.str.contains("[.,]")]
    found = {}  # cells of a kind, by row and column
    for kind in (GROUPED, DECIMAL, MIXED):
        for sign, other in OTHER.items():
            matches = cells.str.fullmatch(kind.format(sign=sign, other=other))
            found[kind, sign], cells = cells[matches], cells[~matches]

    def refuse(kind: str, signs: str, problem: str) -> None:
        """Refuse the first cell of a kind with the first of `signs` that there is."""
        for sign in signs:
            for (row, column), value in found[kind, sign].items():
                where = cell(path, column, row)
                raise UserError(f"{where}: {value!r} {problem.format(sign=sign)}")

    shown = {sign: len(found[DECIMAL, sign]) + len(found[MIXED, sign]) for sign in OTHER}
    if decimal is None and thousands is not None:
        decimal = OTHER[thousands]
    if decimal is None and any(shown.values()):
        decimal = max(shown, key=shown.get)
    if decimal is None:
        refuse(
            GROUPED,
            ",.",
            "may have decimals or thousands, and no cell tells which: give --decimal {sign} or "
            "--thousands {sign}",
        )
        decimal = "."
    other = OTHER[decimal]
    if thousands is None and len(found[MIXED, decimal]):
        thousands = other
    name = "comma" if decimal == "," else "point"
    problem = f"is not a number with a decimal {name}, as others have"
    refuse(MIXED, other, problem)
    refuse(DECIMAL, other, problem)
    if thousands is None:
        refuse(GROUPED, other, f"{problem}: give --thousands {other} if it has thousands")
    if layout["sep"] != ",":
        commas = ", numbers with decimal commas" if decimal == "," else ""
        print(f"{path}: columns are separated by {DELIMITERS[layout['sep']]}{commas}")
    return read_csv(path, decimal=decimal, thousands=thousands, **layout)


# Columns


def find_columns(
    frame: pd.DataFrame, source: Path | str, reading: Reading, long: bool
) -> tuple[list[Hashable], list[Hashable]]:
    """Find the covariates of a table, and the columns that are left.

    Raises:
        UserError: a column that `reading` names is not there; one is there twice, or nameless.
    """
    _require_distinct(source, ["" if pd.isna(name) else str(name) for name in frame.columns])
    arguments = ("time_col", "id_col", "target_col") if long else ("time_col",)
    named = {getattr(reading, argument): argument for argument in arguments}
    for name, argument in named.items():
        if name not in frame.columns:
            raise UserError(_no_column(frame, name, argument, source))
    rest = [name for name in frame.columns if name not in named]
    found = [str(name) for name in rest]
    for name in reading.covariates:
        if name not in found:
            missing = f"no column {name}, which is a covariate"
            raise UserError(f"{source}: {missing}; choose among {shortened(found)}")
    covariates = [rest[found.index(name)] for name in reading.covariates]
    return covariates, [name for name in rest if name not in covariates]


def _no_column(frame: pd.DataFrame, name: object, argument: str, source: Path | str) -> str:
    remedy = f"name it by {option(source, argument)}"
    in_index = name in frame.index.names or isinstance(frame.index, pd.DatetimeIndex)
    if isinstance(source, str) and in_index:
        remedy = f"it seems to be the index: use df.reset_index(), or {remedy}"
    what = f"no column {name}" if name is not None else "no column is named like timestamps (date)"
    return f"{source}: {what}; the columns are {shortened(frame.columns)}: {remedy}"


def refuse_unnamed_long_table(
    source: Path | str, frame: pd.DataFrame, dates: pd.DatetimeIndex
) -> None:
    """Refuse several series one below the other, told apart by one or two columns that no option
    names: they are text or whole numbers, repeat, and tell rows of the same date apart; and many
    dates repeat, or go back where the next series begins. A few repeated dates, as of
    daylight-saving time, are no sign of them.

    Args:
        frame: the columns beside the dates. dates: of its rows.
    """
    stamps = pd.Series(dates.asi8)
    goes_back = not stamps.is_monotonic_increasing
    if stamps.is_unique and not goes_back:
        return
    often, ids = stamps.duplicated(keep=False).mean() >= REPEATED, {}
    for name, column in frame.items():
        numbers = pd.to_numeric(column.astype(object), errors="coerce")
        text = bool((column.notna() & numbers.isna()).any())
        codes, known = pd.factorize(column, use_na_sentinel=False)
        if 2 <= len(known) <= len(frame) / 2 and (text or (numbers % 1 == 0).all()):
            ids[name] = (not text, len(known), codes)  # text first, then the one of fewest values
    order = sorted(ids, key=lambda name: ids[name][:2])
    pairs = combinations(order[:MAX_ID_COLUMNS], 2) if often else ()
    for names in [*combinations(order, 1), *pairs]:
        series = stamps.groupby([ids[name][2] for name in names])
        if series.nunique().sum() < len(stamps):
            continue
        text = not stamps.is_unique and not any(ids[name][0] for name in names)
        if not (often or text or (goes_back and not (series.diff() < 0).any())):
            continue
        joined = " and ".join(map(str, names))
        rest = [name for name in frame.columns if name not in names] or ["y"]
        remedy = f"join {joined} to one column, and name it by {option(source, 'id_col')}"
        if len(names) == 1:
            value = option(source, "target_col", str(rest[-1]))
            remedy = f"give {option(source, 'id_col', joined)} and {value}"
        why = f"dates repeat or go back, and {joined} set their rows apart"
        raise UserError(f"{source}: {why}: a long table, of several series: {remedy}")
