"""A file or a frame, long or wide, to a checked panel of time series."""

import hashlib
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.calendars import (
    Clock,
    Frequency,
    IrregularError,
    Step,
    Times,
    continued,
    given_step,
    insert_missing_rows,
    irregular_under,
    localised,
    median_step,
    read_times,
    season_length,
    step_ahead,
    step_name,
    usual_step,
)
from data_provider.checks import (
    MAX_MAGNITUDE,
    and_more,
    how_to_fill,
    option,
    row_and_line,
    shortened,
)
from data_provider.files import read_file, time_name
from data_provider.values import fill_gaps, numbers_of, problem_of
from utils.bars import clock
from utils.errors import UserError

FRAME = "the frame"
REPEATED = 0.1  # of a long table's rows, at least, have the date of another one
MAX_ID_COLUMNS = 8  # that are tried in pairs
OTHER_STEP = 1.25  # times the step of the training
# The benchmark set Weather repeats a date, and every published result counts both rows.
WEATHER = "34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63"


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
        dayfirst, decimal, thousands: see `calendars.read_times` and `files.read_file`.
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

    def names_long(self) -> bool:
        """Whether a column of a long table was named."""
        return (self.id_col, self.target_col) != (Reading.id_col, Reading.target_col)


@dataclass(frozen=True)
class Table:
    """Series of the same timestamps.

    Attributes:
        dates: increasing, naive, see `calendars.Clock`, `[rows]`.
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
        """Return `channels` or `pooled`."""
        return "pooled" if self.pooled else "channels"

    @property
    def columns(self) -> list[str]:
        """Names of the series of the first table, as text."""
        names = [str(name) for name in self.tables[0].ids]
        if len(set(names)) < len(names):  # such as 1 and "1"
            return [repr(name) for name in self.tables[0].ids]
        return names

    def place(self, table: Table) -> str:
        """Name a table for messages."""
        return f"{self.source}: series {table.ids[0]}" if self.pooled else str(self.source)

    @property
    def season_length(self) -> int:
        """Steps of a season of the first table."""
        return season_length(self.tables[0].dates, self.clock)

    def step(self, table: Table) -> Step | None:
        """Find the step after a table: by its own dates, or those of another table."""
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
            raise UserError(
                f"{self.place(table)}: two different timestamps are needed to infer the step of a "
                "forecast (freq= in Python and --freq of exp.forecast name it)"
            )
        return continued(table.dates, step, steps)

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


def read_panel(
    source: str | Path | pd.DataFrame,
    reading: Reading = Reading(),
    trained: Mapping[str, object] | None = None,
) -> Panel:
    """Read and check a CSV, a Parquet file or a frame.

    It is long if it has the column `id_col`, or if that or `target_col` was named; else wide: a
    column of timestamps, and numbers. Rows may be in any order; lines tell where they are sorted,
    inserted or left out, and warn of irregular timestamps.

    Args:
        source: a path; or a frame of pandas, or one with a method `to_pandas`, which is not
            modified.
        trained: `Panel.notes` of the training of a model, which decide between day and month if
            nothing else does; a line warns of another step.

    Raises:
        UserError: what is not sound, in one line that names source, series, column and row, and
            the remedy.
    """
    if isinstance(source, str | Path):
        source = Path(source)
        text = (reading.id_col, *([reading.time_col] if reading.time_col else []))
        with clock(f"reading {source}"):
            frame = read_file(source, text, reading.decimal, reading.thousands)
    else:
        frame, source = as_pandas(source), FRAME
    panel = _RawTable.of(frame, source, reading).panel((trained or {}).get("dayfirst"))
    _warn_of_another_step(panel, trained)
    return panel


def as_pandas(frame: object, name: str = FRAME) -> pd.DataFrame:
    """Convert a frame to one of pandas; `name` is what messages call it."""
    if not isinstance(frame, pd.DataFrame):
        if not hasattr(frame, "to_pandas"):
            raise UserError(f"a DataFrame or a path is needed, not {type(frame).__name__}")
        frame = frame.to_pandas()
    if not len(frame):
        raise UserError(f"{name}: no rows")
    return frame


def _warn_of_another_step(panel: Panel, trained: Mapping[str, object] | None) -> None:
    before, now = (notes or {} for notes in (trained, panel.notes()))
    seconds = before.get("step_seconds"), now.get("step_seconds")
    if all(seconds) and max(seconds) > OTHER_STEP * min(seconds):
        print(
            f"warning: {panel.source}: its step is {now['step']}, but the model was trained on "
            f"steps of {before['step']}",
            file=sys.stderr,
        )


@dataclass(frozen=True)
class _Group:
    """Series of the same rows: all columns of a wide table, or one series of a long one.

    Attributes:
        rows: of the frame, in the order of time, `[rows]`; inserted ones are left out.
        dates: of the rows, naive. ids: of the series. values: of each, `[rows]`, float64.
        covariates: values of these columns, `[rows]` each.
    """

    rows: np.ndarray
    dates: pd.DatetimeIndex
    ids: list[Hashable]
    values: list[np.ndarray]
    covariates: dict[str, np.ndarray]

    def take(self, part: np.ndarray | slice) -> "_Group":
        values = [column[part] for column in self.values]
        covariates = {name: column[part] for name, column in self.covariates.items()}
        return _Group(self.rows[part], self.dates[part], self.ids, values, covariates)

    def single(self) -> "list[_Group]":
        """Split the group into one of each series."""
        pairs = zip(self.ids, self.values, strict=True)
        return [replace(self, ids=[name], values=[column]) for name, column in pairs]


@dataclass(frozen=True)
class _RawTable:
    """A frame whose columns are found.

    Attributes:
        frame, source, reading: see `read_panel`; `reading.time_col` is the one found.
        long: whether it has a row for each series and timestamp.
    """

    frame: pd.DataFrame
    source: Path | str
    reading: Reading
    long: bool

    @classmethod
    def of(cls, frame: pd.DataFrame, source: Path | str, reading: Reading) -> "_RawTable":
        """Find the columns of a frame."""
        long = reading.id_col in frame.columns or reading.names_long()
        reading = replace(reading, time_col=reading.time_col or time_name(frame.columns))
        for argument in ("time_col", *(("id_col", "target_col") if long else ())):
            _require_column(frame, getattr(reading, argument), argument, source)
        _require_covariates(frame, reading, source, long)
        return cls(frame, source, reading, long)

    def times(self, dayfirst: bool | None) -> Times:
        """Read the timestamps of the rows; `dayfirst` is that of the training."""
        column, ids = self.reading.time_col, self.frame.get(self.reading.id_col)

        def place(row: int) -> str:
            return self.place(ids.iloc[row] if self.long else column, row, column)

        times = read_times(self.frame[column], place, self.reading.dayfirst, dayfirst)
        if times.note:
            print(f"{self.source}: column {column}: {times.note}")
        return times

    def row(self, number: int) -> str:
        """Name a row, with its line in a file."""
        return row_and_line(self.source, int(number))

    def place(self, series: Hashable, row: int, column: object = None) -> str:
        """Name a cell of a series: its value, or that of another `column`."""
        named = f"series {series}, " if self.long else ""
        column = column or (self.reading.target_col if self.long else series)
        return f"{self.source}: {named}column {column}, {self.row(row)}"

    def time_place(self, group: _Group, row: int) -> str:
        """Name the timestamp of a row of a group."""
        return self.place(group.ids[0], group.rows[row], self.reading.time_col)

    def stamp(self, row: int) -> str:
        """Write the timestamp of a row, as it stands in the table."""
        stamp = self.frame[self.reading.time_col].iloc[row]
        return str(stamp).removesuffix(" 00:00:00")

    def option(self, name: str, *values: str) -> str:
        """Name an option for this table; see `checks.option`."""
        return option(self.source, name, *values)

    def panel(self, dayfirst: bool | None) -> Panel:
        """Check the series, fill their gaps if asked to, and arrange them."""
        raw = self.times(dayfirst)
        groups = self._long_groups(raw) if self.long else [self._wide_group(raw)]
        names = [name for group in groups for name in group.ids]
        longest = max(groups, key=lambda group: len(group.rows))
        times = localised(raw, longest.rows, self.reading.freq)
        if times is not raw:
            groups = [replace(group, dates=times.dates[group.rows]) for group in groups]
        groups = self._without_duplicates(groups)
        for group in groups:
            for name, values in zip(group.ids, group.values, strict=True):
                self._check_values(name, group.rows, values)
            for name, values in group.covariates.items():
                self._check_values(group.ids[0], group.rows, values, name)
        if self.reading.fill_missing:
            if self.reading.panel == "pooled":
                groups = [one for group in groups for one in group.single()]
            groups = [self._from_first_values(group) for group in groups]
        calendars = _Calendars(self, groups, times.clock.counts_steps)
        groups = [calendars.regular(group) for group in groups]
        calendars.report()
        if self.reading.calendar and times.clock.counts_steps:
            raise UserError(
                f"{self.source}: --calendar (calendar=True): the timestamps are whole numbers, "
                "which have no hour, weekday and month: leave it out"
            )
        pooled = self._pooled(groups)
        if not pooled:
            groups = [replace(groups[0], ids=names, values=[v for g in groups for v in g.values])]
        tables = [
            self._table(one, pooled)
            for group in groups
            for one in (group.single() if pooled else [group])
        ]
        return Panel(
            tables,
            names,
            pooled,
            times.clock,
            self.source,
            self.reading,
            self.long,
            calendars.filled,
        )

    def _table(self, group: _Group, pooled: bool) -> Table:
        """Arrange a group; covariates of pooled series are named after them, too."""

        def covariates(names: Sequence[str] | None) -> Table | None:
            if not names:
                return None
            of_series = f" of {group.ids[0]}" if pooled or self.long else ""
            ids = [f"{name}{of_series}" for name in names]
            values = np.stack([group.covariates[name] for name in names], axis=1)
            return Table(group.dates, ids, values)

        past, future = self.reading.past_covariates, self.reading.future_covariates
        values = np.stack(group.values, axis=1)
        return Table(group.dates, group.ids, values, covariates(past), covariates(future))

    def _covariates(self, place: Callable[[int, str], str]) -> dict[str, np.ndarray]:
        """Read the covariates, `[rows]` each; `place` names a cell by row and column."""
        columns = {str(name): name for name in self.frame.columns}
        return {
            name: numbers_of(
                self.frame[columns[name]],
                partial(place, column=columns[name]),
                isinstance(self.source, str),
            )
            for name in self.reading.covariates
        }

    def _long_groups(self, times: Times) -> list[_Group]:
        frame, id_col, target = self.frame, self.reading.id_col, self.reading.target_col
        missing = frame[id_col].isna().to_numpy()
        if missing.any():
            where = self.row(missing.argmax())
            raise UserError(f"{self.source}: column {id_col}, {where}: a missing id")
        try:
            ids = frame[id_col]
            is_text = isinstance(ids.dtype, pd.StringDtype)
            codes, names = pd.factorize(ids if is_text else ids.to_numpy(object))
        except TypeError as error:
            raise UserError(
                f"{self.source}: column {id_col}: an id is not hashable: {error}"
            ) from error
        used = {id_col, self.reading.time_col, target}
        unused = [
            name
            for name in frame.columns
            if name not in used and str(name) not in self.reading.covariates
        ]
        if unused:
            print(f"{self.source}: columns that are not used: {shortened(unused)}")
        values = numbers_of(
            frame[target],
            lambda row: self.place(names[codes[row]], row),
            isinstance(self.source, str),
        )
        covariates = self._covariates(
            lambda row, column: self.place(names[codes[row]], row, column)
        )
        order = np.lexsort((times.order.asi8, codes))
        groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        if any((np.diff(rows) < 0).any() for rows in groups):
            print(f"{self.source}: rows are not in the order of time: sorted")
        return [
            _Group(
                rows,
                times.dates[rows],
                [name],
                [values[rows]],
                {column: found[rows] for column, found in covariates.items()},
            )
            for name, rows in zip(names, groups, strict=True)
        ]

    def _wide_group(self, times: Times) -> _Group:
        frame, time_col = self.frame, self.reading.time_col
        covariates = self.reading.covariates
        names = [name for name in frame.columns.drop(time_col) if str(name) not in covariates]
        if not names:
            besides = " and ".join([str(time_col), *(["the covariates"] if covariates else [])])
            raise UserError(f"{self.source}: no column besides {besides}")
        _refuse_unnamed_long_table(self.source, frame[names], times.order)
        unsorted = not times.order.is_monotonic_increasing
        if unsorted:
            print(f"{self.source}: rows are not in the order of time: sorted")
        columns = [
            numbers_of(frame[name], partial(self.place, name), isinstance(self.source, str))
            for name in names
        ]
        covariates = self._covariates(lambda row, column: self.place(column, row))
        group = _Group(np.arange(len(frame)), times.dates, names, columns, covariates)
        return group.take(np.argsort(times.order.asi8, kind="stable")) if unsorted else group

    def _without_duplicates(self, groups: list[_Group]) -> list[_Group]:
        """Leave out rows with the same timestamp, if asked to; else refuse them."""
        unique = [self._unique(group) for group in groups]
        count = sum(len(group.rows) for group in groups) - sum(len(group.rows) for group in unique)
        if count:
            print(
                f"{self.source}: rows that repeat a timestamp left out: {count:,}, "
                f"{self.option('duplicates', self.reading.duplicates)}"
            )
        return unique

    def _unique(self, group: _Group) -> _Group:
        repeated = np.diff(group.dates.asi8) == 0
        if not repeated.any():
            return group
        if self.reading.duplicates is not None:
            return group.take(~group.dates.duplicated(self.reading.duplicates))
        row = int(repeated.argmax())
        first, second = group.rows[row : row + 2]
        if self.reading.fill_missing is None and _is_weather(self.source):
            print(
                f"{self.source}: the benchmark set Weather repeats {self.stamp(first)} in "
                f"{self.row(second)}: both rows are used, as in every published result"
            )
            return group
        more = and_more(int(repeated.sum()), "such rows")
        raise UserError(
            f"{self.time_place(group, row + 1)}: {self.stamp(second)} "
            f"stands in {self.row(first)} already{more}: correct it, or give "
            f"{self.option('duplicates', 'first', 'last')}"
        )

    def _check_values(
        self, series: Hashable, rows: np.ndarray, values: np.ndarray, column: str | None = None
    ) -> None:
        """Refuse values that are too large or, unless they are filled, missing or infinite; and, if
        covariates are known ahead, rows at the end that have nothing else.

        Args:
            column: a covariate.
        """
        finite = np.isfinite(values)
        bad = ~(np.abs(values) <= MAX_MAGNITUDE)
        ahead = np.zeros(len(values), dtype=bool)  # behind the last value
        if self.reading.future_covariates and column is None:
            ahead = ~np.logical_or.accumulate(finite[::-1])[::-1]
        if self.reading.fill_missing:
            bad &= finite | ahead
        kind = "series" if self.long and column is None else "column"
        if bad.any():
            row = int(bad.argmax())
            more = and_more(int(bad.sum()), f"in the {kind}")
            advice = ""
            if not finite[row]:
                advice = f"; {how_to_fill(self.source)} fills it"
            if ahead[row]:
                advice = (
                    ": rows that have covariates alone belong into the file of --future, or into "
                    "futr_df of predict"
                )
            elif not finite[: row + 1].any() and finite.any():
                start = self.stamp(rows[finite.argmax()])
                advice = (
                    f": it starts at {start}; {how_to_fill(self.source)} leaves the rows before "
                    f"out, or drop the {kind}"
                )
            raise UserError(
                f"{self.place(series, rows[row], column)}: {problem_of(values[row])}{more}{advice}"
            )
        if not finite.any():
            named = series if column is None else column
            raise UserError(f"{self.source}: {kind} {named}: not a single number in it")

    def _from_first_values(self, group: _Group) -> _Group:
        """Cut series to the rows in which all have begun: nothing before a first value is
        filled."""
        columns = dict(zip(group.ids, group.values, strict=True)) | group.covariates
        starts = np.array([np.isfinite(values).argmax() for values in columns.values()])
        latest = int(starts.argmax())
        start, lost = int(starts[latest]), int(starts[latest] - starts.min())
        if lost:
            print(
                f"{self.source}: column {list(columns)[latest]} starts at "
                f"{self.stamp(group.rows[start])}: rows before it are left out: {lost:,} "
                f"({self.option('panel', 'pooled')} keeps them, and trains on each column by "
                "itself)"
            )
        return group.take(slice(start, None)) if start else group

    def _pooled(self, groups: list[_Group]) -> bool:
        """Whether each series is by itself: asked for, or because their dates differ."""
        first, asked = groups[0], self.reading.panel
        if len(groups) > 1 and self.reading.covariates:
            if asked == "channels":
                raise UserError(
                    f"{self.source}: {self.option('panel', 'channels')}: each series of a long "
                    f"table has covariates of its own: give {self.option('panel', 'pooled')}, or "
                    "a wide table, whose covariates all series share"
                )
            if asked == "auto":
                print(f"{self.source}: pooled, each series with covariates of its own")
            return True
        others = (g for g in groups if g.dates is not first.dates)
        other = next((g for g in others if not g.dates.equals(first.dates)), None)
        if other is None:
            return asked == "pooled"
        spans = " and ".join(
            f"series {one.ids[0]} has {len(one.dates)} timestamps, {self.stamp(one.rows[0])} to "
            f"{self.stamp(one.rows[-1])}"
            for one in (first, other)
        )
        if asked == "channels":
            raise UserError(
                f"{self.source}: {self.option('panel', 'channels')} needs the same timestamps in "
                f"all series, but {spans}: give {self.option('panel', 'pooled')}, or cut the "
                "series to the same timestamps"
            )
        if asked == "auto":
            print(f"{self.source}: pooled, each series by itself, since {spans}")
        return True


class _Calendars:
    """The timestamps of the series of a table; equal ones are looked at once.

    Attributes:
        filled: number of values.
    """

    def __init__(self, table: _RawTable, groups: list[_Group], counts_steps: bool):
        self.table, self.found = table, {}
        self.fill, self.freq = table.reading.fill_missing, table.reading.freq
        self.counts = counts_steps
        self.filled, self.inserted, self.first_gap = 0, 0, ""
        self.missing: dict[Hashable, tuple[int, str]] = {}
        self.irregular: list[str] = []
        self.step = self._usual(max(groups, key=lambda group: len(group.dates)).dates)

    def _usual(self, dates: pd.DatetimeIndex) -> Step | None:
        if self.freq is not None:
            return given_step(self.freq, self.counts)
        return usual_step(dates, self.counts)

    def regular(self, group: _Group) -> _Group:
        """Insert missing rows and fill gaps if asked to, or note that timestamps are irregular."""
        key = group.dates.asi8.tobytes()
        if key not in self.found:
            self.found[key] = self._rows(group)
        dates, rows = self.found[key]
        if not self.fill:
            return replace(group, dates=dates)
        return replace(
            group,
            dates=dates,
            values=[
                self._filled(group.rows, name, values, rows)
                for name, values in zip(group.ids, group.values, strict=True)
            ],
            covariates={
                name: self._filled(group.rows, name, values, rows)
                for name, values in group.covariates.items()
            },
        )

    def _filled(
        self, of_frame: np.ndarray, series: Hashable, values: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Fill the gaps of a series and its inserted rows, those where `rows` is -1."""
        gaps = ~np.isfinite(values)
        if gaps.any():
            self.missing[series] = int(gaps.sum()), self.table.row(of_frame[gaps.argmax()])
        values = np.where(rows < 0, np.nan, values[rows])
        gaps = ~np.isfinite(values)
        self.filled += int(gaps.sum())
        return fill_gaps(values[:, None], self.fill)[:, 0] if gaps.any() else values

    def _rows(self, group: _Group) -> tuple[pd.DatetimeIndex, np.ndarray]:
        """Return all dates of a group, and the row of each, -1 where it is inserted."""
        dates, step, table = group.dates, self._step(group.dates), self.table
        rows = np.arange(len(dates))
        if step is None:
            return dates, rows
        usual = step_name(step, self.counts)
        if self.freq is not None and not (
            isinstance(step, pd.offsets.Tick) or step.is_on_offset(dates[0])
        ):
            raise UserError(
                f"{table.time_place(group, 0)}: {table.stamp(group.rows[0])} is off the "
                f"calendar, whose freq is {usual}"
            )
        irregular = irregular_under(dates, step)
        if not irregular.any():
            return dates, rows
        try:
            filled = insert_missing_rows(dates, step)
        except IrregularError as error:
            if self.fill:
                stamp = table.stamp(group.rows[error.row])
                raise UserError(
                    f"{table.time_place(group, error.row)}: {stamp} {error}; the rows can't be "
                    "made evenly spaced: correct the timestamps, or leave out "
                    f"{option(table.source, 'fill_missing')}"
                ) from error
            filled = None
        row = int(irregular.argmax())
        before, after = (table.stamp(group.rows[i]) for i in (row, row + 1))
        if not self.fill:
            remedy = "" if filled is None else f"; {how_to_fill(table.source)} inserts missing rows"
            more = and_more(int(irregular.sum()), "such rows")
            self.irregular.append(
                f"{table.time_place(group, row + 1)}: irregular timestamps: {before} is followed "
                f"by {after}, but the usual step is {usual}{more}; rows are treated as evenly "
                f"spaced{remedy}"
            )
            return dates, rows
        self.inserted += int((filled[1] < 0).sum())
        where = table.row(group.rows[row])
        self.first_gap = self.first_gap or f"the first after {where}, {before} (usual step {usual})"
        return filled

    def _step(self, dates: pd.DatetimeIndex) -> Step | None:
        """The step of a series: that of the longest one if it fits, or if there are too few rows to
        tell; else its own."""
        if self.freq is not None or self.step is None or len(dates) < 3:
            return self.step
        if not irregular_under(dates, self.step).any():
            return self.step
        return self._usual(dates)

    def report(self) -> None:
        """Print what was done, and warn of irregular timestamps, a line each."""
        source, filled_by = self.table.source, ""
        if self.fill:
            filled_by = option(source, "fill_missing", self.fill)
        if self.inserted:
            print(
                f"{source}: rows inserted where timestamps are missing: {self.inserted:,}, "
                f"{self.first_gap}, {filled_by}"
            )
        if self.missing:
            parts = [f"{name} {n}, the first in {row}" for name, (n, row) in self.missing.items()]
            total = sum(n for n, _ in self.missing.values())
            listed = shortened(parts, "; ")
            print(f"{source}: missing or infinite values filled: {total:,} ({listed}), {filled_by}")
        if self.irregular:
            more = and_more(len(self.irregular), "such series")
            print(f"warning: {self.irregular[0]}{more}", file=sys.stderr)


def _is_weather(source: Path | str) -> bool:
    """Whether a file is the published set Weather, byte for byte."""
    if isinstance(source, str):
        return False
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == WEATHER


def _require_column(frame: pd.DataFrame, name: object, argument: str, source: Path | str) -> None:
    """Require that a frame has a column once."""
    count = list(frame.columns).count(name)
    if count > 1:
        raise UserError(f"{source}: {count} columns are named {name}")
    if count:
        return
    remedy = f"name it by {option(source, argument)}"
    if isinstance(source, str) and (
        name in frame.index.names or isinstance(frame.index, pd.DatetimeIndex)
    ):
        remedy = f"it seems to be the index: use df.reset_index(), or {remedy}"
    what = f"no column {name}" if name is not None else "no column is named like timestamps (date)"
    raise UserError(f"{source}: {what}; the columns are {shortened(frame.columns)}: {remedy}")


def _require_covariates(
    frame: pd.DataFrame, reading: Reading, source: Path | str, long: bool
) -> None:
    """Require that a frame has the columns of covariates, and that these are no others."""
    taken = {reading.time_col, *((reading.id_col, reading.target_col) if long else ())}
    found = [str(name) for name in frame.columns if name not in taken]
    for name in reading.covariates:
        if found.count(name) > 1:
            raise UserError(f"{source}: {found.count(name)} columns are named {name}")
        if name not in found:
            raise UserError(
                f"{source}: no column {name}, which is a covariate; choose among {shortened(found)}"
            )


def _refuse_unnamed_long_table(
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
    if stamps.is_monotonic_increasing and stamps.is_unique:
        return
    often, ids = stamps.duplicated(keep=False).mean() >= REPEATED, {}
    goes_back = not stamps.is_monotonic_increasing
    for name, column in frame.items():
        numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64)
        text = bool((column.notna().to_numpy() & np.isnan(numbers)).any())
        codes, known = pd.factorize(column, use_na_sentinel=False)
        repeats = 2 <= len(known) <= len(frame) / 2
        if repeats and (text or (numbers == np.floor(numbers)).all()):
            ids[name] = (not text, codes.max(), codes)  # text first, then the one of fewest values
    order = sorted(ids, key=lambda name: ids[name][:2])
    pairs = combinations(order[:MAX_ID_COLUMNS], 2) if often else ()
    for names in [*((name,) for name in order), *pairs]:
        keys = pd.DataFrame({i: ids[name][2] for i, name in enumerate(names)})
        if keys.assign(date=stamps).duplicated().any():
            continue
        text = not any(ids[name][0] for name in names) and not stamps.is_unique
        in_order = not (stamps.groupby([keys[i] for i in keys]).diff() < 0).any()
        if not (often or text or (goes_back and in_order)):
            continue
        joined = " and ".join(map(str, names))
        rest = [name for name in frame.columns if name not in names] or ["y"]
        remedy = f"join {joined} to one column, and name it by {option(source, 'id_col')}"
        if len(names) == 1:
            value = option(source, "target_col", str(rest[-1]))
            remedy = f"give {option(source, 'id_col', str(names[0]))} and {value}"
        raise UserError(
            f"{source}: dates repeat or go back, and {joined} set their rows apart: a long table, "
            f"of several series one below the other: {remedy}"
        )
