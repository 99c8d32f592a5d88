"""A file or a frame, long or wide, to a checked panel of time series."""

import hashlib
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    most_common_step,
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
from utils.errors import UserError

FRAME = "the frame"
REPEATED = 0.1  # of a long table's rows, at least, share their date with another one
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
        panel: "channels", "pooled", or "auto": channels if all series have the same timestamps.
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
    freq: Frequency | None = None

    @classmethod
    def of(cls, options: object) -> "Reading":
        """Take what is there of the options of a command line."""
        names = [name for name in cls.__dataclass_fields__ if name != "freq"]
        return cls(**{name: getattr(options, name) for name in names if hasattr(options, name)})

    def names_long(self) -> bool:
        """Whether a column of a long table was named."""
        return (self.id_col, self.target_col) != (Reading.id_col, Reading.target_col)


@dataclass(frozen=True)
class Table:
    """Series of the same timestamps.

    Attributes:
        dates: increasing, naive, see `calendars.Clock`, `[rows]`.
        ids: of the series. values: `[rows, series]`, float64, finite.
    """

    dates: pd.DatetimeIndex
    ids: list[Hashable]
    values: np.ndarray

    def rows(self, part: slice) -> "Table":
        """Take some rows."""
        return Table(self.dates[part], self.ids, self.values[part])

    def columns(self, ids: Sequence[Hashable]) -> "Table":
        """Take some series, in this order."""
        places = [self.ids.index(name) for name in ids]
        return Table(self.dates, list(ids), self.values[:, places])


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
        for dates in (table.dates, *(other.dates for other in self.tables)):
            if len(dates.unique()) > 1:
                counted = self.clock.counts_steps
                return most_common_step(dates) if counted else step_ahead(dates)
        return None

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
        frame = read_file(source, text, reading.decimal, reading.thousands)
    else:
        frame, source = _pandas(source), FRAME
    panel = _RawTable.of(frame, source, reading, (trained or {}).get("dayfirst")).panel()
    _warn_of_another_step(panel, trained)
    return panel


def _pandas(frame: object) -> pd.DataFrame:
    """Convert a frame to one of pandas."""
    if not isinstance(frame, pd.DataFrame):
        if not hasattr(frame, "to_pandas"):
            raise UserError(f"a DataFrame or a path is needed, not {type(frame).__name__}")
        frame = frame.to_pandas()
    if not len(frame):
        raise UserError(f"{FRAME}: no rows")
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
class _Series:
    """One series in the order of time: its rows in the frame, dates and values, `[rows]` each."""

    id: Hashable
    column: object
    rows: np.ndarray
    dates: pd.DatetimeIndex
    values: np.ndarray

    def take(self, part: np.ndarray | slice) -> "_Series":
        return replace(self, rows=self.rows[part], dates=self.dates[part], values=self.values[part])


@dataclass(frozen=True)
class _RawTable:
    """A frame with its columns told apart.

    Attributes:
        frame, source, reading: see `read_panel`; `reading.time_col` is the one found.
        long: whether it has a row for each series and timestamp. times: of the rows.
    """

    frame: pd.DataFrame
    source: Path | str
    reading: Reading
    long: bool
    times: Times

    @classmethod
    def of(
        cls, frame: pd.DataFrame, source: Path | str, reading: Reading, dayfirst: bool | None
    ) -> "_RawTable":
        """Find the columns of a frame, and read its timestamps."""
        long = reading.id_col in frame.columns or reading.names_long()
        time_col = reading.time_col or time_name(frame.columns)
        needed = {"time_col": time_col}
        if long:
            needed |= {"id_col": reading.id_col, "target_col": reading.target_col}
        for argument, name in needed.items():
            _require_column(frame, name, argument, source)

        def place(row: int) -> str:
            series = f"series {frame[reading.id_col].iloc[row]}, " if long else ""
            return f"{source}: {series}column {time_col}, {row_and_line(source, row)}"

        times = read_times(frame[time_col], place, reading.dayfirst, dayfirst)
        if times.note:
            print(f"{source}: column {time_col}: {times.note}")
        return cls(frame, source, replace(reading, time_col=time_col), long, times)

    def row(self, number: int) -> str:
        """Name a row, with its line in a file."""
        return row_and_line(self.source, int(number))

    def place(self, series: _Series, row: int, column: str | None = None) -> str:
        """Name a cell of a series: its value, or that of another column."""
        named = f"series {series.id}, " if self.long else ""
        where = f"{named}column {column or series.column}"
        return f"{self.source}: {where}, {self.row(series.rows[row])}"

    def time_place(self, series: _Series, row: int) -> str:
        """Name the timestamp of a row of a series."""
        return self.place(series, row, self.reading.time_col)

    def stamp(self, row: int) -> str:
        """Write the timestamp of a row, as it stands in the table."""
        stamp = self.frame[self.reading.time_col].iloc[row]
        return str(stamp).removesuffix(" 00:00:00")

    def panel(self) -> Panel:
        """Check the series, fill their gaps if asked to, and arrange them."""
        series = self._long_series() if self.long else self._wide_series()
        longest = max(series, key=lambda one: len(one.rows))
        times = localised(self.times, longest.rows, self.reading.freq)
        if times is not self.times:
            dates = {id(one.rows): times.dates[one.rows] for one in series}
            series = [replace(one, dates=dates[id(one.rows)]) for one in series]
        series = self._without_duplicates(series)
        for one in series:
            self._check_values(one)
        if self.reading.fill_missing:
            series = [self._from_first_value(one) for one in series]
            if not self.long and self.reading.panel != "pooled":
                series = self._from_the_latest_start(series)
        calendars = _Calendars(self, series)
        regular = [calendars.regular(one) for one in series]
        calendars.report()
        pooled = self._pooled(regular)
        return Panel(
            [Table(one.dates, [one.id], one.values[:, None]) for one in regular]
            if pooled
            else [
                Table(
                    regular[0].dates,
                    [one.id for one in regular],
                    np.stack([one.values for one in regular], axis=1),
                )
            ],
            [one.id for one in regular],
            pooled,
            times.clock,
            self.source,
            self.reading,
            self.long,
            calendars.filled,
        )

    def _long_series(self) -> list[_Series]:
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
        unused = frame.columns.drop([id_col, self.reading.time_col, target])
        if len(unused):
            print(f"{self.source}: columns that are not used: {shortened(unused)}")

        def place(row: int) -> str:
            return f"{self.source}: series {names[codes[row]]}, column {target}, {self.row(row)}"

        values = numbers_of(frame[target], place, isinstance(self.source, str))
        order = np.lexsort((self.times.order.asi8, codes))
        groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        if any((np.diff(rows) < 0).any() for rows in groups):
            print(f"{self.source}: rows are not in the order of time: sorted")
        return [
            _Series(name, target, rows, self.times.dates[rows], values[rows])
            for name, rows in zip(names, groups, strict=True)
        ]

    def _wide_series(self) -> list[_Series]:
        frame, time_col = self.frame, self.reading.time_col
        names = list(frame.columns.drop(time_col))
        if not names:
            raise UserError(f"{self.source}: no column besides {time_col}")
        _refuse_unnamed_long_table(self.source, frame[names], self.times.order)
        dates, order = self.times.dates, np.arange(len(frame))
        unsorted = not self.times.order.is_monotonic_increasing
        if unsorted:
            print(f"{self.source}: rows are not in the order of time: sorted")
            order = np.argsort(self.times.order.asi8, kind="stable")
            dates = dates[order]

        def place(name: object):
            return lambda row: f"{self.source}: column {name}, {self.row(row)}"

        in_memory, series = isinstance(self.source, str), []
        for name in names:
            values = numbers_of(frame[name], place(name), in_memory)
            series.append(_Series(name, name, order, dates, values[order] if unsorted else values))
        return series

    def _without_duplicates(self, series: list[_Series]) -> list[_Series]:
        """Leave out rows with the same timestamp, if asked to; else refuse them."""
        kept, known, count = [], {}, 0
        for one in series:
            key = id(one.rows)
            if key not in known:
                known[key] = self._kept_rows(one)
                count += len(one.rows) - len(known[key])
            kept.append(one.take(known[key]) if len(known[key]) < len(one.rows) else one)
        if count:
            print(
                f"{self.source}: rows that repeat a timestamp left out: {count:,}, "
                f"{option(self.source, 'duplicates', self.reading.duplicates)}"
            )
        return kept

    def _kept_rows(self, series: _Series) -> np.ndarray:
        repeated = np.diff(series.dates.asi8) == 0
        everything = np.arange(len(series.rows))
        if not repeated.any():
            return everything
        if self.reading.duplicates is not None:
            keep = np.ones(len(everything), dtype=bool)
            keep[1:] &= ~repeated | (self.reading.duplicates == "last")
            keep[:-1] &= ~repeated | (self.reading.duplicates == "first")
            return everything[keep]
        row = int(repeated.argmax())
        first, second = (self.row(series.rows[i]) for i in (row, row + 1))
        if self.reading.fill_missing is None and _is_weather(self.source):
            print(
                f"{self.source}: the benchmark set Weather repeats {self.stamp(series.rows[row])} "
                f"in {second}: both rows are kept, as in every published result"
            )
            return everything
        more = and_more(int(repeated.sum()), "such rows")
        raise UserError(
            f"{self.time_place(series, row + 1)}: {self.stamp(series.rows[row + 1])} stands in "
            f"{first} already{more}: correct it, or give "
            f"{option(self.source, 'duplicates', 'first', 'last')}"
        )

    def _check_values(self, series: _Series) -> None:
        """Refuse values that are too large or, unless they are filled, missing or infinite."""
        values, fill = series.values, self.reading.fill_missing
        finite = np.isfinite(values)
        bad = ~(np.abs(values) <= MAX_MAGNITUDE)
        if fill:
            bad &= finite
        if bad.any():
            row = int(bad.argmax())
            more = and_more(int(bad.sum()), "in the series" if self.long else "in the column")
            advice = ""
            if not finite[row]:
                advice = f"; {how_to_fill(self.source)} fills it"
            if not finite[: row + 1].any() and finite.any():
                start = self.stamp(series.rows[finite.argmax()])
                advice = (
                    f": it starts at {start}; {how_to_fill(self.source)} leaves the rows before "
                    f"out, or drop the {'series' if self.long else 'column'}"
                )
            raise UserError(f"{self.place(series, row)}: {problem_of(values[row])}{more}{advice}")
        if not finite.any():
            where = f"series {series.id}" if self.long else f"column {series.column}"
            raise UserError(f"{self.source}: {where}: not a single number in it")

    def _from_first_value(self, series: _Series) -> _Series:
        """Cut a series to its first value: nothing before it is filled."""
        start = int(np.isfinite(series.values).argmax())
        return series.take(slice(start, None)) if start else series

    def _from_the_latest_start(self, series: list[_Series]) -> list[_Series]:
        """Cut the columns of a wide table to the start of the last one."""
        latest = max(series, key=lambda one: one.dates[0])
        starts = [int(one.dates.searchsorted(latest.dates[0])) for one in series]
        if not any(starts):
            return series
        start, pooled = self.stamp(latest.rows[0]), option(self.source, "panel", "pooled")
        print(
            f"{self.source}: column {latest.id} starts at {start}: rows before it are left out: "
            f"{max(starts):,} ({pooled} keeps them, and trains on each column by itself)"
        )
        return [
            one.take(slice(start, None)) if start else one
            for one, start in zip(series, starts, strict=True)
        ]

    def _pooled(self, series: list[_Series]) -> bool:
        """Whether each series is by itself: asked for, or because their dates differ."""
        first, asked = series[0], self.reading.panel
        others = (s for s in series if s.dates is not first.dates)
        other = next((s for s in others if not s.dates.equals(first.dates)), None)
        if other is None:
            return asked == "pooled"
        spans = [
            f"series {one.id} has {len(one.dates)} timestamps, {self.stamp(one.rows[0])} to "
            f"{self.stamp(one.rows[-1])}"
            for one in (first, other)
        ]
        if asked == "channels":
            channels, pooled = (option(self.source, "panel", p) for p in ("channels", "pooled"))
            raise UserError(
                f"{self.source}: {channels} needs the same timestamps in all series, but "
                f"{' and '.join(spans)}: give {pooled}, or cut the series to the same timestamps"
            )
        if asked == "auto":
            print(f"{self.source}: pooled, each series by itself, since {' and '.join(spans)}")
        return True


class _Calendars:
    """The timestamps of the series of a table; equal ones are looked at once.

    Attributes:
        inserted, filled: numbers of rows and values.
    """

    def __init__(self, table: _RawTable, series: list[_Series]):
        self.table, self.found, self.last = table, {}, (None, None)
        self.fill, self.freq = table.reading.fill_missing, table.reading.freq
        self.counts = table.times.clock.counts_steps
        self.filled, self.inserted, self.first_gap = 0, 0, ""
        self.missing: dict[object, tuple[int, str]] = {}
        self.irregular: list[str] = []
        longest = max(series, key=lambda one: len(one.dates))
        self.step = self._usual(longest.dates)

    def _usual(self, dates: pd.DatetimeIndex) -> Step | None:
        if self.freq is not None:
            return given_step(self.freq, self.counts)
        if len(dates.unique()) < 2:
            return None
        return most_common_step(dates) if self.counts else usual_step(dates)

    def regular(self, series: _Series) -> _Series:
        """Insert missing rows and fill gaps if asked to, or note that timestamps are irregular."""
        if series.dates is not self.last[0]:
            key = series.dates.asi8.tobytes()
            if key not in self.found:
                self.found[key] = self._rows(series)
            self.last = series.dates, self.found[key]
        dates, rows = self.last[1]
        values = series.values
        if dates is not series.dates:
            values = np.where(rows >= 0, values[rows], np.nan)
        missing = ~np.isfinite(values)
        if missing.any():
            own = ~np.isfinite(series.values)
            if own.any():
                where = self.table.row(series.rows[own.argmax()])
                self.missing[series.id] = int(own.sum()), where
            self.filled += int(missing.sum())
            values = fill_gaps(values[:, None], self.fill)[:, 0]
        return replace(series, dates=dates, values=values)

    def _rows(self, series: _Series) -> tuple[pd.DatetimeIndex, np.ndarray]:
        """Return all dates of a series, and the row of each, -1 where it is inserted."""
        dates, step, table = series.dates, self._step(series.dates), self.table
        rows = np.arange(len(dates))
        if step is None:
            return dates, rows
        usual = step_name(step, self.counts)
        if self.freq is not None and not (
            isinstance(step, pd.offsets.Tick) or step.is_on_offset(dates[0])
        ):
            raise UserError(
                f"{table.time_place(series, 0)}: {table.stamp(series.rows[0])} is off the "
                f"calendar, whose freq is {usual}"
            )
        irregular = irregular_under(dates, step)
        if not irregular.any():
            return dates, rows
        try:
            filled = insert_missing_rows(dates, step)
        except IrregularError as error:
            if self.fill:
                stamp = table.stamp(series.rows[error.row])
                raise UserError(
                    f"{table.time_place(series, error.row)}: {stamp} {error}; the rows can't be "
                    "made evenly spaced: correct the timestamps, or leave out "
                    f"{option(table.source, 'fill_missing')}"
                ) from error
            filled = None
        row = int(irregular.argmax())
        before, after = (table.stamp(series.rows[i]) for i in (row, row + 1))
        if not self.fill:
            remedy = "" if filled is None else f"; {how_to_fill(table.source)} inserts missing rows"
            more = and_more(int(irregular.sum()), "such rows")
            self.irregular.append(
                f"{table.time_place(series, row + 1)}: irregular timestamps: {before} is followed "
                f"by {after}, but the usual step is {usual}{more}; rows are treated as evenly "
                f"spaced{remedy}"
            )
            return dates, rows
        self.inserted += int((filled[1] < 0).sum())
        where = table.row(series.rows[row])
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
