"""Future covariates of the steps that follow a panel, which are known ahead of a forecast."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.checks import (
    MAX_MAGNITUDE,
    RowError,
    and_more,
    naming,
    numbers_of,
    problem_of,
    refuse_first,
    shortened,
)
from data_provider.files import read_table, time_name
from data_provider.panel import Panel, Table, series_name
from data_provider.timestamps import read_times
from utils.errors import UserError

FUTURE_FRAME = "futr_df"


def with_future(panel: Panel, source: str | Path | pd.DataFrame, steps: int) -> Panel:
    """Add the future covariates of the steps that follow each table of a panel.

    Args:
        source: a file or a frame with a row for each step, and of a long table for each series;
            other rows and columns are not used.
        steps: of the forecast.

    Raises:
        UserError: a value is missing, or no number, or not at the timestamp of a step; the message
            names series, column and date.
    """
    reading, in_memory = panel.reading, not isinstance(source, str | Path)
    name = FUTURE_FRAME if in_memory else str(source)
    if not reading.future_covariates:
        raise UserError(f"{name}: the model has no covariates that are known ahead")
    frame, _ = read_table(source, reading, FUTURE_FRAME)
    time_col = reading.time_col if reading.time_col in frame else time_name(frame.columns)
    several = panel.long and (panel.pooled or reading.id_col in frame)
    for column in (time_col, *([reading.id_col] if several else [])):
        if column not in frame:
            column = column or f"of timestamps, such as {reading.time_col}"
            raise UserError(f"{name}: no column {column}; it has {shortened(frame.columns)}")
    ids = frame[reading.id_col].map(series_name).to_numpy() if several else None
    stamps = _read_dates(panel, frame[time_col], f"{name}: column {time_col}")
    frame = frame.set_axis(frame.columns.map(str), axis=1).set_axis(stamps)

    def ahead(table: Table) -> Table:
        rows = frame if ids is None else frame[ids == series_name(table.ids[0])]
        dates = panel.future(table, steps)
        wanted = _comparable(panel, dates)
        columns = []
        for column in reading.future_covariates:
            with naming(partial(_place, panel, name, table, column, dates)):
                columns.append(_column(rows, column, wanted, in_memory))
        known = table.future.rows(slice(len(table.dates)))
        values = np.concatenate([known.values, np.stack(columns, axis=1)])
        return replace(table, future=Table(known.dates.append(dates), known.ids, values))

    return panel.with_tables(ahead)


def _column(rows: pd.DataFrame, name: str, wanted: pd.DatetimeIndex, in_memory: bool) -> np.ndarray:
    """Return the values of a covariate at the `wanted` timestamps `[steps]`."""
    if name not in rows:
        raise RowError(0, f"no such column; it has {shortened(rows.columns)}")
    column = rows.loc[rows.index.isin(wanted), name]
    count = column.groupby(level=0).size().reindex(wanted, fill_value=0).to_numpy()
    if (count != 1).any():
        step = int((count != 1).argmax())
        problem = "stands there twice"
        if not count[step]:
            missing = int((count == 0).sum())
            problem = f"no row of this step{and_more(missing, 'of the steps to forecast')}"
        raise RowError(step, f"{problem}; {len(wanted)} steps are forecast")
    values = numbers_of(column.loc[wanted], in_memory)
    refuse_first(~(np.abs(values) <= MAX_MAGNITUDE), lambda step: problem_of(values[step]))
    return values


def require_future(panel: Panel, steps: int) -> None:
    """Require that the future covariates of so many steps are known.

    Raises:
        UserError: they are not.
    """
    for table in panel.tables:
        known = steps if table.future is None else len(table.future.dates) - len(table.dates)
        if known < steps:
            name, dates = panel.reading.future_covariates[0], panel.future(table, steps)
            place = _place(panel, panel.source, table, name, dates, known)
            why = f"not known, as the {steps} steps to forecast have to be"
            raise UserError(f"{place}: {why}: give --future (futr_df of predict)")


def _place(
    panel: Panel, source: object, table: Table, name: str, dates: pd.DatetimeIndex, step: int
) -> str:
    stamp = str(panel.clock.stamps(dates[step : step + 1])[0]).removesuffix(" 00:00:00")
    return f"{source}: series {shortened(table.ids)}, column {name}, {stamp}"


def _read_dates(panel: Panel, column: pd.Series, where: str) -> pd.DatetimeIndex:
    """Read the timestamps of future covariates like those of the panel; see `_comparable`."""
    clock = panel.clock
    if clock.counts_steps:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        if not (numbers % 1 == 0).all():
            raise UserError(f"{where}: whole numbers are needed, as in {panel.source}")
        return pd.DatetimeIndex(numbers.astype("datetime64[s]")).as_unit("us")
    with naming(lambda row: f"{where}, row {row + 1}"):
        times = read_times(column, clock.dayfirst)
    if (times.clock.tz is None) != (clock.tz is None):
        has = "no time zone" if times.clock.tz is None else "a time zone"
        raise UserError(f"{where}: its timestamps have {has}, unlike those of {panel.source}")
    return times.order.as_unit("us")


def _comparable(panel: Panel, dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return naive dates of a panel, or those in UTC if it has a time zone."""
    stamps = dates if panel.clock.tz is None else panel.clock.stamps(dates).tz_convert("UTC")
    return stamps.tz_localize(None).as_unit("us")
