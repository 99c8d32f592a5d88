"""Limits and wording of errors, common to the readers of data files."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
    """Name a cell of a table by its column, and by its row, counted from 0 here.

    Args:
        source: file of the table, or what messages call one in memory.
    """
    return f"{source}: column {column}, {row_and_line(source, row)}"


class RowError(UserError):
    """Something is wrong with a row: `row`, counted from 0."""

    def __init__(self, row: int, problem: str):
        super().__init__(problem)
        self.row = row


@contextmanager
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
