"""What is known ahead of a forecast: the future covariates of the steps that follow a panel."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.checks import MAX_MAGNITUDE, and_more, shortened
from data_provider.files import time_name
from data_provider.panel import Panel, Table
from data_provider.reader import read_table
from data_provider.timestamps import read_times
from data_provider.values import numbers_of, problem_of
from utils.errors import UserError

FRAME = "futr_df"


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
    if not panel.reading.future_covariates:
        raise UserError(f"{_name(source)}: the model has no covariates that are known ahead")
    future = _Future.of(panel, source, steps)
    return panel.with_tables(future.behind)


def require_future(panel: Panel, steps: int) -> None:
    """Require that the future covariates of so many steps are known.

    Raises:
        UserError: they are not.
    """
    for table in panel.tables:
        known = steps if table.future is None else len(table.future.dates) - len(table.dates)
        if known < steps:
            name, dates = panel.reading.future_covariates[0], panel.future(table, steps)
            raise UserError(
                f"{_place(panel, panel.source, table, name, dates[known:])}: not known, as the "
                f"{steps} steps to forecast have to be: give futr_df of predict, or --future of "
                "run.py and exp.forecast"
            )


def _place(panel: Panel, source: object, table: Table, name: str, dates: pd.DatetimeIndex) -> str:
    """Name the value of a covariate at the first of `dates`."""
    stamp = str(panel.clock.stamps(dates[:1])[0]).removesuffix(" 00:00:00")
    return f"{source}: series {shortened(table.ids)}, column {name}, {stamp}"


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else FRAME


@dataclass(frozen=True)
class _Future:
    """A frame of future covariates.

    Attributes:
        panel, source, steps: see `with_future`.
        frame: its rows. dates: of the rows, as `comparable` returns them.
        rows: numbers of the rows of each series, by its id as text; None if all series share them.
    """

    panel: Panel
    source: str
    steps: int
    frame: pd.DataFrame
    dates: pd.DatetimeIndex
    rows: dict[str, np.ndarray] | None

    @classmethod
    def of(cls, panel: Panel, source: str | Path | pd.DataFrame, steps: int) -> "_Future":
        """Find the columns of a frame, and read its timestamps."""
        reading, name = panel.reading, _name(source)
        frame, _ = read_table(source, reading, FRAME)
        time_col = reading.time_col if reading.time_col in frame else time_name(frame.columns)
        several = panel.long and (panel.pooled or reading.id_col in frame)
        for column in (time_col, *([reading.id_col] if several else [])):
            if column not in frame:
                column = column or f"of timestamps, such as {reading.time_col}"
                raise UserError(f"{name}: no column {column}; it has {shortened(frame.columns)}")
        frame = frame.reset_index(drop=True)
        rows = frame.groupby(frame[reading.id_col].map(str)).indices if several else None
        dates = _read_dates(panel, frame[time_col], f"{name}: column {time_col}")
        return cls(panel, name, steps, frame, dates, rows)

    def behind(self, table: Table) -> Table:
        """Add the covariates of the steps that follow a table."""
        dates = self.panel.future(table, self.steps)
        names = self.panel.reading.future_covariates
        columns = [self._column(table, name, dates) for name in names]
        known = table.future.rows(slice(len(table.dates)))
        values = np.concatenate([known.values, np.stack(columns, axis=1)])
        return replace(table, future=Table(known.dates.append(dates), known.ids, values))

    def _column(self, table: Table, name: str, dates: pd.DatetimeIndex) -> np.ndarray:
        """Return the values of a covariate of a table at the dates that follow it, `[steps]`."""

        def place(step: int) -> str:
            return _place(self.panel, self.source, table, name, dates[step:])

        columns = {str(column): column for column in self.frame.columns}
        if name not in columns:
            raise UserError(f"{place(0)}: no such column; it has {shortened(columns)}")
        rows = np.arange(len(self.frame))
        if self.rows is not None:
            rows = self.rows.get(str(table.ids[0]), rows[:0])
        steps = _comparable(self.panel, dates).get_indexer(self.dates[rows])
        rows, steps = rows[steps >= 0], steps[steps >= 0]
        count = np.bincount(steps, minlength=len(dates))
        if (count != 1).any():
            step = int((count != 1).argmax())
            problem = "stands there twice"
            if not count[step]:
                missing = int((count == 0).sum())
                problem = f"no row of this step{and_more(missing, 'of the steps to forecast')}"
            raise UserError(f"{place(step)}: {problem}; {len(dates)} steps are forecast")
        column = self.frame[columns[name]].iloc[rows[np.argsort(steps)]]
        values = numbers_of(column, place, self.source == FRAME)
        bad = ~(np.abs(values) <= MAX_MAGNITUDE)
        if bad.any():
            step = int(bad.argmax())
            raise UserError(f"{place(step)}: {problem_of(values[step])}")
        return values


def _read_dates(panel: Panel, column: pd.Series, where: str) -> pd.DatetimeIndex:
    """Read the timestamps of future covariates like those of the panel; see `_comparable`."""
    clock = panel.clock
    if clock.counts_steps:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        if not (numbers % 1 == 0).all():
            raise UserError(f"{where}: whole numbers are needed, as in {panel.source}")
        return pd.DatetimeIndex(numbers.astype("int64").astype("datetime64[s]")).as_unit("us")
    times = read_times(column, lambda row: f"{where}, row {row + 1}", clock.dayfirst)
    if (times.utc is None) != (clock.tz is None):
        has = "no time zone" if times.utc is None else "a time zone"
        raise UserError(f"{where}: its timestamps have {has}, unlike those of {panel.source}")
    return times.order.as_unit("us")


def _comparable(panel: Panel, dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return naive dates of a panel, or those in UTC if it has a time zone."""
    stamps = dates if panel.clock.tz is None else panel.clock.stamps(dates).tz_convert("UTC")
    return stamps.tz_localize(None).as_unit("us")
