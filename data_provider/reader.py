"""A file or a frame, long or wide, to a checked panel of time series."""

import sys
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.calendars import (
    Step,
    given_step,
    insert_missing_rows,
    irregular_under,
    step_name,
    usual_step,
)
from data_provider.checks import (
    MAX_MAGNITUDE,
    RowError,
    and_more,
    cell,
    fill_gaps,
    naming,
    numbers_of,
    option,
    problem_of,
    refuse_first,
    row_and_line,
    shortened,
)
from data_provider.files import find_columns, read_table, refuse_unnamed_long_table, time_name
from data_provider.panel import FRAME, Panel, Reading, Table, series_name
from data_provider.timestamps import Clock, Times, localised, read_times
from utils.errors import UserError
from utils.files import sha256_of

OTHER_STEP = 1.25  # times the step of the training
# The file of the set Weather, which repeats a date; every published result counts both rows.
WEATHER = "34ee981d07313e51da2a50bb600072c8ae4a69cb4b0651f4cb93a069d7a2ba63"


def read_panel(
    source: str | Path | pd.DataFrame,
    reading: Reading | None = None,
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
    trained, reading = trained or {}, reading or Reading()
    panel = _Reader(*read_table(source, reading), reading).panel(trained.get("dayfirst"))
    now = panel.notes()
    seconds = trained.get("step_seconds"), now["step_seconds"]
    if all(seconds) and max(seconds) > OTHER_STEP * min(seconds):
        before = f"but the model was trained on steps of {trained['step']}"
        print(f"warning: {panel.source}: its step is {now['step']}, {before}", file=sys.stderr)
    return panel


@dataclass(frozen=True)
class _Group:
    """Series of the same rows: all columns of a wide table, or one series of a long one.

    Attributes:
        rows: of the frame, in the order of time, `[rows]`; inserted ones are left out.
        dates: of the rows, naive. ids: of the series.
        cells: of the series, and then of the covariates, `[rows, columns]`, float64.
    """

    rows: np.ndarray
    dates: pd.DatetimeIndex
    ids: list[Hashable]
    cells: np.ndarray

    def take(self, part: np.ndarray | slice) -> "_Group":
        return _Group(self.rows[part], self.dates[part], self.ids, self.cells[part])

    def single(self) -> "list[_Group]":
        """Split the group into one of each series, with all covariates."""
        covariates = self.cells[:, len(self.ids) :]
        return [
            replace(self, ids=[name], cells=np.column_stack([self.cells[:, i], covariates]))
            for i, name in enumerate(self.ids)
        ]


class _Reader:
    """A table of series and covariates, whose columns are found.

    Attributes:
        frame, source: the table. reading: its `time_col` is the one found.
        long: whether it has a row for each series and timestamp.
    """

    def __init__(self, frame: pd.DataFrame, source: Path | str, reading: Reading):
        self.frame, self.source = frame, source
        named = (reading.id_col, reading.target_col) != (Reading.id_col, Reading.target_col)
        self.long = named or reading.id_col in frame.columns
        self.reading = replace(reading, time_col=reading.time_col or time_name(frame.columns))
        self.covariates, self.rest = find_columns(frame, source, self.reading, self.long)
        self.how_to_fill = self._option("fill_missing", "linear", "ffill")

    def panel(self, trained_dayfirst: bool | None) -> Panel:
        """Check the series, fill their gaps if asked to, and arrange them."""
        reading = self.reading
        column = reading.time_col
        with naming(self._place):
            times = read_times(self.frame[column], reading.dayfirst, trained_dayfirst)
        if times.note:
            self._print(f"column {column}: {times.note}")
        if reading.calendar and times.clock.counts_steps:
            why = "whole numbers have no hour, weekday and month"
            raise UserError(f"{self.source}: {why}: leave out --calendar (calendar=True)")
        groups, self.clock = self._groups(times)
        groups = self._without_duplicates(groups)
        for group in groups:
            self._check_values(group)
        if reading.fill_missing:
            if reading.panel == "pooled":
                groups = [one for group in groups for one in group.single()]
            groups = [self._from_first_values(group) for group in groups]
        names = [name for group in groups for name in group.ids]
        name, count = Counter(map(series_name, names)).most_common(1)[0]
        if count > 1:  # such as 1 and "1"
            raise UserError(f"{self.source}: {count} series are named {name}")
        groups, filled = self._evenly_spaced(groups)
        pooled = self._pooled(groups)
        if pooled:
            groups = [one for group in groups for one in group.single()]
        elif len(groups) > 1:  # which have no covariates
            cells = np.column_stack([group.cells for group in groups])
            groups = [replace(groups[0], ids=names, cells=cells)]
        tables = [self._table(group, pooled) for group in groups]
        return Panel(tables, names, pooled, self.clock, self.source, reading, self.long, filled)

    # Cells of the table, and their names in messages

    def _place(self, row: int, column: Hashable = None) -> str:
        """Name a cell, by default a timestamp, with the series of its row in a long table."""
        column = self.reading.time_col if column is None else column
        series = f"series {self.frame[self.reading.id_col].iloc[row]}, " if self.long else ""
        return f"{self.source}: {series}column {column}, {self._row(row)}"

    def _row(self, number: int) -> str:
        return row_and_line(self.source, number)

    def _stamp(self, row: int) -> str:
        """Write the timestamp of a row, as it stands in the table."""
        stamp = self.frame[self.reading.time_col].iloc[row]
        return str(stamp).removesuffix(" 00:00:00")

    def _option(self, name: str, *values: str) -> str:
        return option(self.source, name, *values)

    def _print(self, text: str) -> None:
        print(f"{self.source}: {text}")

    def _groups(self, times: Times) -> tuple[list[_Group], Clock]:
        """Read the cells, sorted by series and time, and the clock of their dates."""
        codes, ids, columns = np.zeros(len(self.frame), dtype=int), self.rest, self.rest
        if self.long:
            codes, ids = self._series_of_rows()
            columns = [self.reading.target_col]
            if self.rest:
                self._print(f"columns that are not used: {shortened(self.rest)}")
        elif self.rest:
            refuse_unnamed_long_table(self.source, self.frame[self.rest], times.order)
        else:
            besides = " and the covariates" if self.covariates else ""
            raise UserError(f"{self.source}: no column besides {self.reading.time_col}{besides}")
        in_memory, numbers = self.source == FRAME, []
        for column in [*columns, *self.covariates]:
            with naming(partial(self._place, column=column)):
                numbers.append(numbers_of(self.frame[column], in_memory))
        cells = np.stack(numbers, axis=1)
        order = np.lexsort((times.order.asi8, codes))
        parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        if any((np.diff(rows) < 0).any() for rows in parts):
            self._print("rows are not in the order of time: sorted")
        times = localised(times, max(parts, key=len), self.reading.freq)
        groups = [
            _Group(rows, times.dates[rows], [ids[i]] if self.long else ids, cells[rows])
            for i, rows in enumerate(parts)
        ]
        return groups, times.clock

    def _series_of_rows(self) -> tuple[np.ndarray, Sequence[Hashable]]:
        """Number the series of the rows of a long table; returns also their ids."""
        id_col = self.reading.id_col
        ids = self.frame[id_col]
        with naming(partial(cell, self.source, id_col)):
            refuse_first(ids.isna(), lambda row: "a missing id")
        try:
            is_text = isinstance(ids.dtype, pd.StringDtype)
            return pd.factorize(ids if is_text else ids.to_numpy(object))
        except TypeError as error:
            raise UserError(f"{self.source}: column {id_col}: {error}") from error

    # Checks

    def _without_duplicates(self, groups: list[_Group]) -> list[_Group]:
        keep = self.reading.duplicates
        if keep is None:
            for group in groups:
                self._refuse_duplicates(group)
            return groups
        unique = [group.take(~group.dates.duplicated(keep)) for group in groups]
        count = len(self.frame) - sum(len(group.rows) for group in unique)
        if count:
            asked = self._option("duplicates", keep)
            self._print(f"rows that repeat a timestamp left out: {count:,}, {asked}")
        return unique

    def _refuse_duplicates(self, group: _Group) -> None:
        repeated = np.diff(group.dates.asi8) == 0
        if not repeated.any():
            return
        row = int(repeated.argmax())
        first, second = group.rows[row : row + 2]
        is_file = isinstance(self.source, Path) and self.reading.fill_missing is None
        if is_file and sha256_of(self.source) == WEATHER:
            repeats = f"the benchmark set Weather repeats {self._stamp(first)} in"
            both = f"{self._row(second)}: both rows are used, as in every published result"
            self._print(f"{repeats} {both}")
            return
        more = and_more(int(repeated.sum()), "such rows")
        already = f"{self._stamp(second)} stands in {self._row(first)} already{more}"
        remedy = f"correct it, or give {self._option('duplicates', 'first', 'last')}"
        raise UserError(f"{self._place(second)}: {already}: {remedy}")

    def _check_values(self, group: _Group) -> None:
        """Refuse values that are too large or, unless they are filled, missing or infinite; and, if
        covariates are known ahead, rows at the end that have nothing else."""
        finite = np.isfinite(group.cells)
        bad = ~(np.abs(group.cells) <= MAX_MAGNITUDE)
        ahead = np.zeros_like(bad)  # behind the last value of a series
        if self.reading.future_covariates:
            ahead = ~np.logical_or.accumulate(finite[::-1])[::-1]
            ahead[:, len(group.ids) :] = False
        if self.reading.fill_missing:
            bad &= finite | ahead
        for i, name in enumerate([*group.ids, *self.covariates]):
            of_series = self.long and i < len(group.ids)
            column = self.reading.target_col if of_series else name
            kind = "series" if of_series else "column"
            if bad[:, i].any():
                row = int(bad[:, i].argmax())
                advice = ""
                if ahead[row, i]:
                    advice = ": rows of covariates alone belong into the file of --future"
                elif not finite[: row + 1, i].any() and finite[:, i].any():
                    start = self._stamp(group.rows[finite[:, i].argmax()])
                    remedy = f"{self.how_to_fill} leaves the rows before out, or drop the {kind}"
                    advice = f": it starts at {start}; {remedy}"
                elif not finite[row, i]:
                    advice = f"; {self.how_to_fill} fills it"
                more = and_more(int(bad[:, i].sum()), f"in the {kind}")
                problem = problem_of(group.cells[row, i])
                raise UserError(f"{self._place(group.rows[row], column)}: {problem}{more}{advice}")
            if not finite[:, i].any():
                raise UserError(f"{self.source}: {kind} {name}: not a single number in it")

    def _from_first_values(self, group: _Group) -> _Group:
        """Cut series to where all have begun: nothing before a first value is filled."""
        starts = np.isfinite(group.cells).argmax(axis=0)
        latest = int(starts.argmax())
        start, lost = int(starts[latest]), int(starts[latest] - starts.min())
        if lost:
            name, first = [*group.ids, *self.covariates][latest], self._stamp(group.rows[start])
            keeps = f"{self._option('panel', 'pooled')} keeps them"
            self._print(
                f"column {name} starts at {first}: rows before it are left out: {lost:,} ({keeps})"
            )
        return group.take(slice(start, None))

    # Evenly spaced timestamps

    def _evenly_spaced(self, groups: list[_Group]) -> tuple[list[_Group], int]:
        """Insert missing rows and fill gaps if asked to, and print it; else warn of irregular
        timestamps. Returns also the number of values that were filled."""
        fill, freq = self.reading.fill_missing, self.reading.freq
        if freq is not None:
            step = given_step(freq, self.clock.counts_steps)
        else:
            longest = max(groups, key=lambda group: len(group.dates))
            step = usual_step(longest.dates, self.clock.counts_steps)
        calendars = {}
        for group in groups:
            key = group.dates.asi8.tobytes()
            if key not in calendars:
                calendars[key] = self._calendar(group, step)
        notes = [note for _, _, note in calendars.values() if note]
        if not fill:
            if notes:
                more = and_more(len(notes), "such series")
                print(f"warning: {notes[0]}{more}", file=sys.stderr)
            return groups, 0
        complete, missing, filled = [], {}, 0
        for group in groups:
            dates, rows, _ = calendars[group.dates.asi8.tobytes()]
            names, gaps = [*group.ids, *self.covariates], ~np.isfinite(group.cells)
            for i in np.flatnonzero(gaps.any(axis=0)):
                first = self._row(group.rows[gaps[:, i].argmax()])
                count, first = missing.get(names[i], (0, first))  # of a covariate, in others
                missing[names[i]] = count + int(gaps[:, i].sum()), first
            cells = np.where(rows[:, None] < 0, np.nan, group.cells[rows])
            filled += int((~np.isfinite(cells)).sum())
            complete.append(replace(group, dates=dates, cells=fill_gaps(cells, fill)))
        inserted = sum(int((rows < 0).sum()) for _, rows, _ in calendars.values())
        filled_by = self._option("fill_missing", fill)
        if inserted:
            where = f"{inserted:,}, {notes[0]}, {filled_by}"
            self._print(f"rows inserted where timestamps are missing: {where}")
        if missing:
            listed = [f"{name} {n}, the first in {row}" for name, (n, row) in missing.items()]
            total = sum(n for n, _ in missing.values())
            where = f"{total:,} ({shortened(listed, '; ')}), {filled_by}"
            self._print(f"missing or infinite values filled: {where}")
        return complete, filled

    def _calendar(
        self, group: _Group, step: Step | None
    ) -> tuple[pd.DatetimeIndex, np.ndarray, str]:
        """Return all dates of a group, the row of each, -1 where it is inserted, and the first gap
        in words; the `step` of the longest group holds if it fits, or for too few rows to tell."""
        dates, rows = group.dates, np.arange(len(group.dates))
        if step is None:
            return dates, rows, ""
        irregular = irregular_under(dates, step)
        if self.reading.freq is None and len(dates) > 2 and irregular.any():
            step = usual_step(dates, self.clock.counts_steps)
            irregular = irregular_under(dates, step)
        usual = step_name(step, self.clock.counts_steps)

        def place(row: int) -> str:
            return f"{self._place(group.rows[row])}: {self._stamp(group.rows[row])}"

        for row in (0, *np.flatnonzero(irregular) + 1) if self.reading.freq is not None else ():
            if not (isinstance(step, pd.offsets.Tick) or step.is_on_offset(dates[row])):
                raise UserError(f"{place(row)} is off the calendar, whose freq is {usual}")
        if not irregular.any():
            return dates, rows, ""
        row = int(irregular.argmax())
        before = self._stamp(group.rows[row])
        if self.reading.fill_missing is None:
            more = and_more(int(irregular.sum()), "such rows")
            follows = f"{place(row + 1)} follows {before}, but the usual step is {usual}{more}"
            remedy = f"{self.how_to_fill} inserts missing rows"
            return dates, rows, f"{follows}; rows are treated as evenly spaced; {remedy}"
        try:
            complete = insert_missing_rows(dates, step)
        except RowError as error:
            problem = f"{error}; the rows can't be made evenly spaced: correct the timestamps"
            remedy = f"or leave out {self._option('fill_missing')}"
            raise UserError(f"{place(error.row)} {problem}, {remedy}") from error
        where = self._row(group.rows[row])
        return *complete, f"the first after {where}, {before} (usual step {usual})"

    # Arrangement

    def _pooled(self, groups: list[_Group]) -> bool:
        """Whether each series is by itself: asked for, or because their dates differ."""
        first, asked = groups[0], self.reading.panel
        channels, pooled = self._option("panel", "channels"), self._option("panel", "pooled")
        other = next((group for group in groups if not group.dates.equals(first.dates)), None)
        if len(groups) > 1 and self.covariates:
            why, remedy = "each has covariates of its own", "a wide table"
        elif other is None:
            return asked == "pooled"
        else:
            remedy = "cut them to the same timestamps"
            why = " and ".join(
                f"series {one.ids[0]} has {len(one.dates)} timestamps, "
                f"{self._stamp(one.rows[0])} to {self._stamp(one.rows[-1])}"
                for one in (first, other)
            )
        if asked == "channels":
            raise UserError(f"{self.source}: {channels}, but {why}: give {pooled}, or {remedy}")
        if asked == "auto":
            self._print(f"pooled, each series by itself, since {why}")
        return True

    def _table(self, group: _Group, pooled: bool) -> Table:
        """Arrange a group; covariates of pooled series are named after them, too."""
        of_series = f" of {series_name(group.ids[0])}" if pooled or self.long else ""
        start, parts = len(group.ids), []
        for names in (self.reading.past_covariates, self.reading.future_covariates):
            stop = start + len(names or ())
            values = np.ascontiguousarray(group.cells[:, start:stop])
            ids = [f"{name}{of_series}" for name in names or ()]
            parts.append(Table(group.dates, ids, values) if names else None)
            start = stop
        values = np.ascontiguousarray(group.cells[:, : len(group.ids)])
        return Table(group.dates, group.ids, values, *parts)
