"""Read a CSV of time series and validate it."""

import contextlib
import csv
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data_provider.checks import require_data_file
from data_provider.series_table import (
    NO_ROWS,
    SeriesTable,
    require_distinct,
    require_names,
    series_table,
    time_name,
)
from utils.errors import UserError

if TYPE_CHECKING:
    from pandas.io.parsers import TextFileReader

CHUNK = 65536  # rows
DECIMALS = (".", ".,")  # signs before decimals: where commas separate columns, and elsewhere
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# functions of pandas that read what is no CSV, by suffix; archives are unpacked
OTHER_FORMATS = {
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".ods": "read_excel",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".feather": "read_feather",
    ".zip": None,
    ".gz": None,
}
SIGNATURES = {
    b"PAR1": ".parquet",
    b"PK\3\4": ".zip",
    b"\xd0\xcf\x11\xe0": ".xls",
    b"\x1f\x8b": ".gz",
}


def read_series(path: str | Path, fill: str | None = None) -> SeriesTable:
    """Read a CSV with a column `date` and numeric columns.

    Columns may be separated by semicolons or tabs if the header is; numbers may then have decimal
    commas. One line reports that. Duplicate and irregularly spaced timestamps get a warning each.

    Args:
        path: the file.
        fill: how to fill missing rows and missing and infinite values, see `series_table`. None
            refuses such values.

    Raises:
        UserError: no such file, no CSV, no column `date`, no other column, a column without a
            name, two columns of the same name, text or a missing value in a numeric column, a
            date that can't be parsed or is earlier than the one above it, a long table (see
            `series_table`). The message names the file, the column and the row.
    """
    path = Path(path)
    require_data_file(path, "--root_path and --data_path, or --target_data")
    refuse_other_formats(path)
    delimiter = find_delimiter(path)
    names = column_names(path, delimiter)
    require_names(path, names)
    frame, decimal = _read_table(path, names, delimiter)
    options = {"sep": delimiter} if delimiter != "," else {}
    return series_table(frame, path, fill, options | ({"decimal": ","} if decimal == "," else {}))


def refuse_other_formats(path: Path) -> None:
    """Refuse a file whose suffix or first bytes are of another format than CSV.

    Raises:
        UserError: with the line of Python that converts it.
    """
    with path.open("rb") as file:
        start = file.read(4)
    found = next((kind for bytes_, kind in SIGNATURES.items() if start.startswith(bytes_)), "")
    kind = path.suffix.lower() if path.suffix.lower() in OTHER_FORMATS else found
    if kind == ".zip" and _is_workbook(path):
        kind = ".xlsx"
    if not kind:
        return
    reader, name = OTHER_FORMATS[kind], f"{path.stem}.csv"
    remedy = "unpack it"
    if reader is not None:
        remedy = (
            f"convert it, in Python by import pandas; pandas.{reader}({path.name!r})"
            f".to_csv({name!r}, index=False)"
        )
    raise UserError(f"{path}: a {kind} file, not a CSV: {remedy}")


def _is_workbook(path: Path) -> bool:
    """Whether an archive is one of Excel."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "xl/workbook.xml" in archive.namelist()


def find_delimiter(path: Path) -> str:
    """Find the delimiter with which the header has a column `date`, or else another name of
    timestamps; or else the one with the most columns."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if line.strip()), "")
    headers = {}
    for delimiter in DELIMITERS:
        with contextlib.suppress(csv.Error):  # no CSV, as the reader of the table will say
            names = next(csv.reader([header], delimiter=delimiter), [])
            headers[delimiter] = [name.strip() for name in names]
    for delimiter, names in headers.items():
        if "date" in names:
            return delimiter
    for delimiter, names in headers.items():
        if time_name(names) is not None:
            return delimiter
    return max(headers, key=lambda delimiter: len(headers[delimiter]), default=",")


def _read_table(path: Path, names: list[str], delimiter: str) -> tuple[pd.DataFrame, str]:
    """Read the rows under the header.

    Where commas do not separate columns, they may be decimal commas: of the two readings, the one
    with more numeric columns is taken.

    Returns:
        The table, and the sign before decimals.
    """
    tables = {}
    for decimal in DECIMALS[delimiter != ","]:
        frame = read_frame(path, sep=delimiter, decimal=decimal)
        frame.columns = names
        tables[decimal] = frame
    decimal = max(tables, key=lambda sign: _numeric_columns(tables[sign]))
    _report_format(path, delimiter, decimal)
    return tables[decimal], decimal


def _report_format(path: Path, delimiter: str, decimal: str) -> None:
    if delimiter != ",":
        commas = ", numbers with decimal commas" if decimal == "," else ""
        print(f"{path}: columns are separated by {DELIMITERS[delimiter]}{commas}")


def _numeric_columns(frame: pd.DataFrame) -> int:
    return sum(pd.api.types.is_numeric_dtype(kind) for kind in frame.drop(columns="date").dtypes)


def csv_by_chunks(path: Path) -> Callable[[int], Iterator[pd.DataFrame]]:
    """Open a CSV of any columns to read it in frames, again and again.

    The file is read once now: a column is of numbers, or of truth values, if it is everywhere; else
    it is text, and so are the timestamps.

    Returns:
        A function that reads frames of up to so many rows, whose columns have the same types.

    Raises:
        UserError: no such file, no table, a column without a name, two columns of the same name.
    """
    require_data_file(path, "the path")
    refuse_other_formats(path)
    delimiter = find_delimiter(path)
    names = column_names(path, delimiter)
    require_distinct(path, names)
    options = {"sep": delimiter, "names": names, "header": 0}
    types = {
        decimal: _column_types(path, names, {**options, "decimal": decimal})
        for decimal in DECIMALS[delimiter != ","]
    }
    decimal = max(types, key=lambda sign: sum(kind is not str for kind in types[sign].values()))
    _report_format(path, delimiter, decimal)
    options |= {"decimal": decimal, "dtype": types[decimal]}
    return lambda rows: _chunks(path, rows, **options)


def _column_types(path: Path, names: list[str], options: dict[str, object]) -> dict[str, type]:
    """Find the types of columns, in a reading of the whole file by chunks, with `options`."""
    kinds, rows = {name: set() for name in names}, 0
    for chunk in _chunks(path, CHUNK, **options):
        rows += len(chunk)
        for name, column in chunk.items():
            if not column.isna().all():  # nothing but missing values may be of any type
                kinds[name].add(column.dtype.kind)
    if not rows:
        raise UserError(f"{path}: {NO_ROWS}")
    time = time_name(names)

    def type_of(name: str) -> type:
        found = kinds[name]
        if name == time or not found <= set("iufb") or found > {"b"}:
            return str
        return bool if found == {"b"} else int if found == {"i"} else float

    return {name: type_of(name) for name in names}


def _chunks(path: Path, rows: int, **options: object) -> Iterator[pd.DataFrame]:
    """Read a CSV in frames of up to `rows` rows."""
    with _one_line_errors(path):
        chunks = _csv(path, chunksize=rows, **options)
    with chunks:
        while True:
            with _one_line_errors(path):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk


def read_frame(path: Path, **options: object) -> pd.DataFrame:
    """Read a CSV of any columns; `options` are those of `pandas.read_csv`.

    Raises:
        UserError: the file is not text, empty, without rows or no table.
    """
    with _one_line_errors(path):
        frame = _csv(path, **options)
    if frame.empty:
        raise UserError(f"{path}: {NO_ROWS}")
    return frame


def _csv(path: Path, **options: object) -> "pd.DataFrame | TextFileReader":
    with path.open("rb") as file:
        beginning = file.read(2**16)
    if b"\0" in beginning:
        raise UserError(f"{path}: not a text file, or one in UTF-16: save it as UTF-8")
    return pd.read_csv(
        path,
        encoding="utf-8-sig",
        low_memory=False,
        compression=None,
        index_col=False,
        **options,
    )


@contextlib.contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn what pandas raises for a file that is no CSV into a `UserError`."""
    try:
        with warnings.catch_warnings():  # without an index, more fields than names are a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except pd.errors.ParserWarning as error:
        raise UserError(f"{path}: the rows have more fields than the header") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8: save it as UTF-8") from error
    except (pd.errors.ParserError, ValueError) as error:
        raise UserError(f"{path}: not a CSV table: {str(error).strip()}") from error


def column_names(path: Path, delimiter: str) -> list[str]:
    """Read the names in the header, stripped.

    Raises:
        UserError: no CSV, or one with another delimiter.
    """
    row = read_frame(path, header=None, nrows=1, dtype=str, sep=delimiter, keep_default_na=False)
    names = ["" if pd.isna(name) else str(name).strip() for name in row.iloc[0]]
    other = re.search(r"[;\t|]", names[0]) if len(names) == 1 else None
    if other:
        raise UserError(f"{path}: columns are separated by {other[0]!r}: use commas")
    return names
