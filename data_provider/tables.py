"""Open a table, and find its columns."""

from collections.abc import Hashable
from itertools import combinations
from pathlib import Path

import pandas as pd

from data_provider.checks import option, shortened
from data_provider.files import read_file
from data_provider.panel import FRAME, Reading
from utils.bars import clock
from utils.errors import UserError

REPEATED = 0.1  # of a long table's rows, at least, have the date of another one
MAX_ID_COLUMNS = 8  # that are tried in pairs


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
    if not len(source):
        raise UserError(f"{name}: no rows")
    return source, name


def find_columns(
    frame: pd.DataFrame, source: Path | str, reading: Reading, long: bool
) -> tuple[list[Hashable], list[Hashable]]:
    """Find the covariates of a table, and the columns that are left.

    Raises:
        UserError: a column that `reading` names is not there, or there twice.
    """
    arguments = ("time_col", "id_col", "target_col") if long else ("time_col",)
    named = {getattr(reading, argument): argument for argument in arguments}
    for name, argument in named.items():
        if name not in frame.columns:
            raise UserError(_no_column(frame, name, argument, source))
    rest = [name for name in frame.columns if name not in named]
    found = [str(name) for name in rest]
    repeated = list(frame.columns[frame.columns.duplicated()])
    for name in (*named, *reading.covariates, *(() if long else rest)):
        if name in repeated:
            raise UserError(f"{source}: {repeated.count(name) + 1} columns are named {name}")
    for name in reading.covariates:
        if name not in found:
            missing = f"no column {name}, which is a covariate"
            raise UserError(f"{source}: {missing}; choose among {shortened(found)}")
    covariates = [rest[found.index(name)] for name in reading.covariates]
    return covariates, [name for name in rest if name not in covariates]


def _no_column(frame: pd.DataFrame, name: object, argument: str, source: Path | str) -> str:
    """Say that a column is missing."""
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
