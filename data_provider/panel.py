"""A checked panel of time series, and how its table is to be read."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.calendars import (
    Frequency,
    Step,
    given_step,
    median_step,
    season_length,
    step_ahead,
    step_name,
)
from data_provider.timestamps import Clock
from utils.errors import UserError

FRAME = "the frame"


def series_name(name: Hashable) -> str:
    """Write the id of a series as a model knows it: 1 of a CSV, 1 and 1.0 of a frame are one."""
    return str(int(name) if isinstance(name, float) and name.is_integer() else name)


@dataclass(frozen=True)
class Reading:
    """How to read a table.

    Attributes:
        time_col: of timestamps; by default the first of `files.TIME_NAMES` that is there.
        id_col, target_col: of a long table, which has `id_col`.
        fill_missing: "linear" or "ffill" inserts missing rows and fills missing and infinite
            values, see `fill_gaps`; None refuses such values.
        duplicates: of rows with the same timestamp keep the "first" or the "last"; None refuses
            them.
        dayfirst, decimal, thousands: see `timestamps.read_times` and `files.read_file`.
        panel: "channels", "pooled", or "auto": channels if all series have the same timestamps,
            unless they are several of a long table with covariates, which belong to a series each.
        past_covariates, future_covariates: columns that are no series, but known up to now, or
            ahead. calendar: whether that of the timestamps is known ahead.
        freq: pandas alias of the step, or a whole number for whole numbers; inferred by default.
    """

    time_col: str | None = None
    id_col: str = "unique_id"
    target_col: str = "y"
    fill_missing: str | None = None
    duplicates: str | None = None
    dayfirst: bool | None = None
    decimal: str | None = None
    thousands: str | None = None
    panel: str = "auto"
    past_covariates: Sequence[str] | None = None
    future_covariates: Sequence[str] | None = None
    calendar: bool = False
    freq: Frequency | None = None

    @classmethod
    def of(cls, options: object) -> "Reading":
        """Take what is there of the options of a command line."""
        names = [name for name in cls.__dataclass_fields__ if name != "freq"]
        return cls(**{name: getattr(options, name) for name in names if hasattr(options, name)})

    @property
    def covariates(self) -> list[str]:
        """The columns that are covariates, those known up to now first."""
        return [*(self.past_covariates or ()), *(self.future_covariates or ())]


@dataclass(frozen=True)
class Table:
    """Series of the same timestamps.

    Attributes:
        dates: increasing, naive, see `timestamps.Clock`, `[rows]`.
        ids: of the series. values: `[rows, series]`, float64, finite.
        past: covariates known up to now, of the same rows; None if there are none.
        future: covariates known ahead, of the same rows and perhaps some that follow them.
    """

    dates: pd.DatetimeIndex
    ids: list[Hashable]
    values: np.ndarray
    past: "Table | None" = None
    future: "Table | None" = None

    def rows(self, part: slice) -> "Table":
        """Take some rows; what is known ahead of them stays known."""
        start = part.indices(len(self.dates))[0]
        return Table(
            self.dates[part],
            self.ids,
            self.values[part],
            self.past and self.past.rows(part),
            self.future and self.future.rows(slice(start, None)),
        )

    def columns(self, ids: Sequence[Hashable]) -> "Table":
        """Take some series, in this order."""
        places = [self.ids.index(name) for name in ids]
        return replace(self, ids=list(ids), values=self.values[:, places])


@dataclass(frozen=True)
class Panel:
    """Checked series.

    Attributes:
        tables: one whose series are channels, or, pooled, one for each series.
        names: all series in the order in which they were given.
        pooled: whether a window has a single series.
        clock: how timestamps are written. source: the file, or what messages call a frame.
        reading: how the table was read; its `time_col` is the one that was found.
        long: whether it had a row for each series and timestamp.
        filled: number of values that were filled.
    """

    tables: list[Table]
    names: list[Hashable]
    pooled: bool
    clock: Clock
    source: Path | str = FRAME
    reading: Reading = Reading(time_col="date")
    long: bool = False
    filled: int = 0

    @property
    def mode(self) -> str:
        return "pooled" if self.pooled else "channels"

    @property
    def columns(self) -> list[str]:
        """Names of the series of the first table, as text."""
        return [series_name(name) for name in self.tables[0].ids]

    @property
    def channels(self) -> list[str]:
        """Names of the channels of a window."""
        return ["value"] if self.pooled else self.columns

    def place(self, table: Table) -> str:
        """Name a table for messages."""
        return f"{self.source}: series {table.ids[0]}" if self.pooled else str(self.source)

    @property
    def season_length(self) -> int:
        """Steps of a season of the first table; 0 where whole numbers count steps."""
        return 0 if self.clock.counts_steps else season_length(self.tables[0].dates)

    def step(self, table: Table) -> Step | None:
        """The step after a table: by its own dates, or else those of another table."""
        if self.reading.freq is not None:
            return given_step(self.reading.freq, self.clock.counts_steps)
        every = (table.dates, *(other.dates for other in self.tables))
        steps = (step_ahead(dates, self.clock.counts_steps) for dates in every)
        return next((step for step in steps if step is not None), None)

    def future(self, table: Table, steps: int) -> pd.DatetimeIndex:
        """Continue the dates of a table, naive.

        Raises:
            UserError: no table has two different timestamps.
        """
        step = self.step(table)
        if step is None:
            needed = "two different timestamps are needed to infer the step of a forecast"
            raise UserError(f"{self.place(table)}: {needed} (freq= or --freq names it)")
        return pd.date_range(table.dates[-1] + step, periods=steps, freq=step)

    def notes(self) -> dict[str, object]:
        """Describe what a model's checkpoint tells of its training table."""
        first = self.tables[0]
        step = self.step(first)
        return {
            "dayfirst": self.clock.dayfirst,
            "step": None if step is None else step_name(step, self.clock.counts_steps),
            "step_seconds": None if len(first.dates) < 2 else median_step(first.dates),
        }

    def with_tables(self, change) -> "Panel":
        """Replace each table by what `change` makes of it."""
        return replace(self, tables=[change(table) for table in self.tables])

    def only(self, ids: Sequence[Hashable]) -> "Panel":
        """Take some series; channels in this order."""
        if self.pooled:
            tables = [table for table in self.tables if table.ids[0] in ids]
        else:
            tables = [self.tables[0].columns(ids)]
        return replace(self, tables=tables, names=[name for name in self.names if name in ids])
