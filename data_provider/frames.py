"""Frames in memory, long or wide, to checked tables of time series, and the timestamps to come."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timezone, tzinfo
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from data_provider.checks import (
    MAX_MAGNITUDE,
    PARQUET,
    and_more,
    how_to_fill,
    named,
    require_data_file,
    row_and_line,
    shortened,
)
from data_provider.csv_file import CHUNK, csv_by_chunks, refuse_other_formats
from data_provider.parquet_file import iterate_parquet
from data_provider.series_table import (
    SeriesTable,
    column_numbers,
    fill_missing,
    problem_of,
    refuse_long_table,
    require_distinct,
    with_rows,
)
from data_provider.timestamps import (
    IrregularError,
    future_dates,
    in_local_time,
    insert_missing_rows,
    irregular_under,
    most_common_step,
    parse_column,
    usual_step,
    utc_offsets,
)
from utils.errors import UserError

FRAME = "the frame"
UTC = "+00:00"
LARGEST_TIME = 9 * 10**12  # a whole number of steps; microseconds of as many seconds fit 64 bits
Frequency = str | int | pd.offsets.BaseOffset


@dataclass(frozen=True)
class Panel:
    """The series of a frame.

    Attributes:
        tables: one calendar each, with the same number of channels. Their `offset` is None for
            whole numbers; "+00:00" where the frame has a time zone and steps shorter than a day,
            whose dates are in UTC; else empty, and dates are local.
        ids: for each table its series, the channels in order.
        names: all series in the order in which they were given.
        mode: "channels": one table, series are channels; "pooled": a table of one channel for
            each series.
        tz: the time zone of the frame's timestamps, if they have one.
        whole_numbers: whether its timestamps count steps.
        source: see `panel_from_long`.
    """

    tables: list[SeriesTable]
    ids: list[list[Hashable]]
    names: list[Hashable]
    mode: str
    tz: tzinfo | None
    whole_numbers: bool
    source: Path | str = FRAME


class _Origin:
    """Where a frame is from, for messages.

    Args:
        source: the file that it was read from, whose rows its index counts; or what messages call a
            frame in memory.
    """

    def __init__(self, frame: pd.DataFrame, source: Path | str):
        self.source, self.index = source, frame.index

    def row(self, number: int) -> str:
        """Name a row of the frame, counted from 0 here."""
        in_memory = isinstance(self.source, str)
        return row_and_line(self.source, number if in_memory else int(self.index[number]))


@dataclass(frozen=True)
class _Times:
    """A column of timestamps of a frame, which is from `origin`: `dates` `[rows]`, aware if `tz`;
    seconds after 1970 if they are whole numbers."""

    origin: _Origin
    dates: pd.DatetimeIndex
    tz: tzinfo | None = None
    whole_numbers: bool = False

    def shown(self, row: int) -> str:
        """Write a timestamp for a message."""
        stamp = self.dates[row]
        if self.whole_numbers:
            return str(int(stamp.timestamp()))
        text = stamp.isoformat(sep=" ")
        return text.removesuffix(" 00:00:00")


@dataclass(frozen=True)
class _Series:
    """One series, sorted by time.

    Attributes:
        origin: of the frame. id: as it was given.
        values: `[rows]`. rows: where they are in the frame, `[rows]`.
        column: of its values, for messages.
        dates, offset: see `Panel.tables`.
        filled: number of values that were filled.
    """

    origin: _Origin
    id: Hashable
    values: np.ndarray
    rows: np.ndarray
    column: str
    dates: pd.DatetimeIndex
    offset: str | None
    filled: int = 0

    def place(self, row: int | None = None) -> str:
        """Name the series, or the cell of one of its rows."""
        where = "" if row is None else f"{self.column}, {self.row(row)}"
        return f"{self.origin.source}: series {self.id}{where}"

    def row(self, row: int) -> str:
        """Name the row of the frame."""
        return self.origin.row(self.rows[row])


def panel_from_long(
    frame: pd.DataFrame,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
    *,
    freq: Frequency | None = None,
    fill: str | None = None,
    panel: str = "auto",
    source: Path | str = FRAME,
) -> Panel:
    """Check a frame with a row for each series and timestamp.

    Args:
        frame: of pandas, or one with a method `to_pandas`; is not modified. Its rows are in any
            order.
        id_col: series, of any hashable type.
        time_col: timestamps, with or without a time zone, dates, periods (by their start), text as
            in CSVs, or whole numbers, which count steps.
        target_col: numbers.
        freq: pandas alias of the step, or a whole number for whole numbers; inferred by default.
        fill: "linear" or "ffill" inserts missing rows and fills missing and infinite values, see
            `fill_missing`; a series then starts at its first value. None refuses them.
        panel: "channels", "pooled", or "auto": channels if all series have the same timestamps.
        source: the file that the frame was read from, see `frame_file`, or what messages call it.

    Raises:
        UserError: a column or a value is missing, not a number, infinite or too large; a timestamp
            is missing, repeated or off the calendar; the calendars of channels differ. The message
            names series, column and row.
    """
    columns = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
    frame = _pandas(frame, columns, source)
    origin = _Origin(frame, source)
    _require_choices(fill, panel)
    missing = frame[id_col].isna().to_numpy()
    if missing.any():
        raise UserError(f"{source}: column {id_col}, {origin.row(missing.argmax())}: a missing id")
    try:
        codes, names = pd.factorize(frame[id_col].to_numpy(object))
    except TypeError as error:
        raise UserError(f"{source}: column {id_col}: an id is not hashable: {error}") from error

    def place(column: str) -> Callable[[int], str]:
        start = f"{source}: series "
        return lambda row: f"{start}{names[codes[row]]}, column {column}, {origin.row(row)}"

    times = _times(frame[time_col], place(time_col), origin)
    values = _numbers(frame[target_col], place(target_col), origin)
    order = np.lexsort((times.dates.asi8, codes))
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    column = f", column {target_col}"
    series = [
        _Series(origin, name, values[rows], rows, column, *_internal(times, rows, freq))
        for name, rows in zip(names, groups, strict=True)
    ]
    return _panel(series, times, freq, fill, panel)


def panel_from_wide(
    frame: pd.DataFrame,
    time_col: str = "date",
    *,
    freq: Frequency | None = None,
    fill: str | None = None,
    panel: str = "auto",
    channels: Sequence[str] | None = None,
    source: Path | str = FRAME,
) -> Panel:
    """Check a frame with a column of timestamps and a column for each series.

    Args:
        channels: columns that are series; by default all others.
        frame, time_col, freq, fill, panel, source: see `panel_from_long`.

    Raises:
        UserError: as for `panel_from_long`, and for a long frame.
    """
    frame = _pandas(frame, {"time_col": time_col}, source)
    origin = _Origin(frame, source)
    _require_choices(fill, panel)
    names = list(channels if channels is not None else frame.columns.drop(time_col))
    unknown = [name for name in names if name not in frame.columns]
    if unknown:
        raise UserError(f"{source}: no column {unknown[0]}, which channels= names")
    if not names:
        raise UserError(f"{source}: no column besides {time_col}")
    require_distinct(source, [str(name) for name in names])
    times = _times(
        frame[time_col], lambda row: f"{source}: column {time_col}, {origin.row(row)}", origin
    )
    refuse_long_table(source, frame[names], times.dates, {})
    order = np.argsort(times.dates.asi8, kind="stable")
    calendar = _internal(times, order, freq)
    series = []
    for name in names:
        values = _numbers(
            frame[name],
            lambda row, name=name: f"{source}: series {name}, {origin.row(row)}",
            origin,
            "; drop the column",
        )
        series.append(_Series(origin, name, values[order], order, "", *calendar))
    return _panel(series, times, freq, fill, panel)


def future_timestamps(
    panel: Panel, table_number: int, steps: int, freq: Frequency | None = None
) -> pd.Index:
    """Continue the timestamps of a table by `steps`, in the form in which the frame had them.

    Args:
        freq: as it was given for the panel; by default the usual step of the table, or where it has
            a single timestamp, of another one.

    Raises:
        UserError: no table has two different timestamps.
    """
    table = panel.tables[table_number]
    if panel.whole_numbers:
        step = _step_ahead(panel, table, freq)
        return pd.Index(
            table.dates.as_unit("s").asi8[-1] + _seconds(step) * np.arange(1, steps + 1)
        )
    if freq is None and len(table.dates) > 1:
        dates = future_dates(table, steps)
    else:
        step = _step_ahead(panel, table, freq)
        dates = pd.date_range(table.dates[-1] + step, periods=steps, freq=step)
    if panel.tz is None:
        return dates
    if table.offset == UTC:
        return dates.tz_localize("UTC").tz_convert(panel.tz)
    first = np.ones(len(dates), dtype=bool)  # of two equal local times, the one in summer time
    return dates.tz_localize(panel.tz, ambiguous=first, nonexistent="shift_forward")


def read_frame_file(path: str | Path) -> pd.DataFrame:
    """Read a CSV or, by its suffix, a Parquet file of any columns; see `frame_file`."""
    return pd.concat(frame_file(path)(CHUNK), ignore_index=True)


def frame_file(path: str | Path) -> Callable[[int], Iterator[pd.DataFrame]]:
    """Open a CSV or, by its suffix, a Parquet file of any columns to read it in parts, again and
    again.

    In a CSV columns may be separated by semicolons or tabs if the header is, and numbers may then
    have decimal commas; timestamps stay text. It is read once now.

    Returns:
        A function that reads frames of up to so many rows, which have the types of the whole file,
        and whose index counts its rows.

    Raises:
        UserError: no such file, another format, no table or no rows, a column without a name, two
            columns of the same name.
    """
    path = Path(path)
    require_data_file(path, "the path")
    if path.suffix.lower() in PARQUET:
        return partial(iterate_parquet, path)
    refuse_other_formats(path)
    return csv_by_chunks(path)


def _pandas(frame: object, columns: Mapping[str, str], source: Path | str) -> pd.DataFrame:
    """Convert a frame to one of pandas, and require columns and rows."""
    if not isinstance(frame, pd.DataFrame):
        if not hasattr(frame, "to_pandas"):
            raise UserError(f"a pandas DataFrame is needed, not {type(frame).__name__}")
        frame = frame.to_pandas()
    require_columns(frame, columns, source)
    if frame.empty:
        raise UserError(f"{source}: no rows")
    return frame


def require_columns(
    frame: pd.DataFrame, columns: Mapping[str, str], source: Path | str = FRAME
) -> None:
    """Require columns.

    Args:
        columns: their names, by the options that give them. source: see `panel_from_long`.

    Raises:
        UserError: one is missing, or there are several of its name.
    """
    for argument, name in columns.items():
        count = list(frame.columns).count(name)
        if count > 1:
            raise UserError(f"{source}: {count} columns are named {name}")
        if not count:
            remedy = f"name it by {named(source, argument)}"
            if name in frame.index.names or isinstance(frame.index, pd.DatetimeIndex):
                remedy = "it seems to be the index: use df.reset_index(), or " + remedy
            raise UserError(
                f"{source}: no column {name}; the columns are {shortened(frame.columns)}: {remedy}"
            )


def _require_choices(fill: str | None, panel: str) -> None:
    if fill not in (None, "linear", "ffill"):
        raise UserError(f"fill={fill!r} is unknown: use {how_to_fill(FRAME)}, or None")
    if panel not in ("auto", "channels", "pooled"):
        raise UserError(f"panel={panel!r} is unknown: use 'auto', 'channels' or 'pooled'")


def _times(column: pd.Series, place: Callable[[int], str], origin: _Origin) -> _Times:
    """Read a column of timestamps of any kind."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise UserError(f"{place(int(missing.argmax()))}: a missing timestamp")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    kind = pd.api.types.infer_dtype(column)
    if kind == "period":
        return _Times(origin, pd.PeriodIndex(column).to_timestamp())
    if kind in ("datetime64", "datetime", "date"):
        dates = _datetimes(column, place)
        return _Times(origin, dates, dates.tz)
    if kind == "integer" or (kind == "floating" and (column % 1 == 0).all()):
        numbers = column.astype("float64").abs()
        if numbers.max() > LARGEST_TIME:
            raise UserError(
                f"{place(int(numbers.argmax()))}: whole numbers count steps, and this one is too "
                "large: convert them, for example by pandas.to_datetime(..., unit='ms')"
            )
        seconds = column.to_numpy("int64").astype("datetime64[s]")
        return _Times(origin, pd.DatetimeIndex(seconds), whole_numbers=True)
    if kind != "string":
        raise UserError(
            f"{place(0)}: {column.iloc[0]!r} is no timestamp: datetimes, dates, periods, text or "
            "whole numbers are"
        )
    dates, counts_steps = parse_column(str(origin.source), column, place, in_order=False)
    if dates.tz is None:
        return _Times(origin, dates, whole_numbers=counts_steps)
    offset = utc_offsets(column.astype(str))[dates.argmax()]  # of the last one, where they differ
    zone = timezone(offset.to_pytimedelta())
    return _Times(origin, dates.tz_convert(zone), zone)


def _datetimes(column: pd.Series, place: Callable[[int], str]) -> pd.DatetimeIndex:
    """Read a column of datetimes or dates; of several time zones, the first one's counts."""
    try:
        return pd.DatetimeIndex(pd.to_datetime(column))
    except (ValueError, TypeError):
        zones = [value.tzinfo for value in column]
        if None in zones:
            row = zones.index(None)
            raise UserError(
                f"{place(row)}: {column.iloc[row]} has no time zone, others have"
            ) from None
        return pd.DatetimeIndex(pd.to_datetime(column, utc=True)).tz_convert(zones[0])


def _numbers(
    column: pd.Series, place: Callable[[int], str], origin: _Origin, advice: str = ""
) -> np.ndarray:
    """Read a column of numbers. Text is none, even if it looks like one; but in a file a column is
    text if one of its cells is, which may be none of these."""
    text = column.map(lambda value: isinstance(value, str)).to_numpy(bool)
    is_date = pd.api.types.is_datetime64_any_dtype(column)
    if is_date or text.any():
        in_memory = isinstance(origin.source, str)
        other = text & pd.to_numeric(column, errors="coerce").isna().to_numpy()
        if is_date or other.any() or in_memory:
            row = int((other if other.any() else text).argmax())
            if in_memory:
                advice = f"; pandas.to_numeric converts text{advice}"
            raise UserError(f"{place(row)}: {str(column.iloc[row])!r} is not a number{advice}")
        column = pd.to_numeric(column)
    return column_numbers(column, place)


def _internal(
    times: _Times, rows: np.ndarray, freq: Frequency | None
) -> tuple[pd.DatetimeIndex, str | None]:
    """Take sorted `rows` of timestamps as `Panel.tables` have them; returns their offset too."""
    dates = times.dates[rows]
    if times.tz is None:
        return dates, None if times.whole_numbers else ""
    local, utc = dates.tz_localize(None), dates.tz_convert("UTC").tz_localize(None)
    if freq is not None:
        is_local = not isinstance(_given_step(freq, False), pd.offsets.Tick)
    else:
        is_local = in_local_time(local, utc)
    return (local, "") if is_local else (utc, UTC)


def _panel(
    series: list[_Series], times: _Times, freq: Frequency | None, fill: str | None, panel: str
) -> Panel:
    """Check series, make their calendars regular, fill their gaps and arrange them."""
    for one in series:
        _check_values(one, times, fill)
    if fill:
        series = [_from_first_value(one) for one in series]
    calendars = _Calendars(series, times, freq, fill)
    series = [calendars.regular(one) for one in series]
    first = series[0]
    other = next((one for one in series if not _same_calendar(first, one)), None)
    if panel == "channels" and other is not None:
        spans = [
            f"series {one.id} has {len(one.dates)} timestamps, {_span(one, times)}"
            for one in (first, other)
        ]
        raise UserError(
            f"{first.origin.source}: panel='channels' needs the same timestamps in all series, but "
            f"{' and '.join(spans)}: use panel='pooled', or cut the series to the same timestamps"
        )
    names = [one.id for one in series]
    pooled = panel == "pooled" or other is not None
    groups = [[one] for one in series] if pooled else [series]
    return Panel(
        [_table(group, pooled) for group in groups],
        [[one.id for one in group] for group in groups],
        names,
        "pooled" if pooled else "channels",
        times.tz,
        times.whole_numbers,
        times.origin.source,
    )


def _table(series: list[_Series], pooled: bool) -> SeriesTable:
    """Join series of the same calendar."""
    first = series[0]
    columns = [str(one.id) for one in series]
    if len(set(columns)) < len(columns):  # such as 1 and "1"
        columns = [repr(one.id) for one in series]
    return SeriesTable(
        first.place() if pooled else first.origin.source,
        first.dates,
        first.offset,
        columns,
        np.stack([one.values for one in series], axis=1),
        sum(one.filled for one in series),
    )


def _same_calendar(one: _Series, other: _Series) -> bool:
    return one.dates is other.dates or one.dates.equals(other.dates)


def _span(series: _Series, times: _Times) -> str:
    return f"{times.shown(series.rows[0])} to {times.shown(series.rows[-1])}"


def _check_values(series: _Series, times: _Times, fill: str | None) -> None:
    """Refuse repeated timestamps, and values that are too large or, unless they are filled, missing
    or infinite."""
    repeated = np.diff(series.dates.asi8) == 0
    if repeated.any():
        row = int(repeated.argmax())
        raise UserError(
            f"{series.place()}: duplicate timestamp {times.shown(series.rows[row])}, in "
            f"{series.row(row)} and {series.row(row + 1)}"
        )
    values = series.values
    finite = np.isfinite(values)
    bad = finite & (np.abs(values) > MAX_MAGNITUDE) if fill else ~(np.abs(values) <= MAX_MAGNITUDE)
    if bad.any():
        row = int(bad.argmax())
        advice = "" if finite[row] else f"; {how_to_fill(series.origin.source)} fills it"
        more = and_more(int(bad.sum()), "in the series")
        raise UserError(f"{series.place(row)}: {problem_of(values[row])}{more}{advice}")
    if fill and not finite.any():
        raise UserError(f"{series.place()}{series.column}: not a single number in it")


def _from_first_value(series: _Series) -> _Series:
    """Cut a series to its first value: nothing before it is filled."""
    start = int(np.isfinite(series.values).argmax())
    if not start:
        return series
    cut = slice(start, None)
    return replace(
        series, values=series.values[cut], rows=series.rows[cut], dates=series.dates[cut]
    )


class _Calendars:
    """The calendars of the series of a frame; equal ones are looked at once.

    Args:
        series: all series, each sorted by time.
        times: of the frame. freq, fill: see `panel_from_long`.
    """

    def __init__(
        self, series: list[_Series], times: _Times, freq: Frequency | None, fill: str | None
    ):
        self.times, self.freq, self.fill = times, freq, fill
        self.found: dict[bytes, tuple[pd.DatetimeIndex, np.ndarray]] = {}
        longest = max(series, key=lambda one: len(one.dates))
        self.step = _step_of_frame([longest.dates], times.whole_numbers, freq)

    def regular(self, series: _Series) -> _Series:
        """Insert missing rows and fill gaps, if asked to.

        Raises:
            UserError: rows are missing and not to be filled, or off the calendar.
        """
        key = series.dates.asi8.tobytes()
        if key not in self.found:
            self.found[key] = self._regular_rows(series)
        dates, rows = self.found[key]
        values = with_rows(series.values[:, None], rows)
        missing = ~np.isfinite(values)
        if missing.any():
            values = fill_missing(values, self.fill)
        return replace(series, dates=dates, values=values[:, 0], filled=int(missing.sum()))

    def _regular_rows(self, series: _Series) -> tuple[pd.DatetimeIndex, np.ndarray]:
        dates, step, origin = series.dates, self._step(series.dates), series.origin
        rows = np.arange(len(dates))
        if step is None:
            return dates, rows
        kind = "usual step" if self.freq is None else "freq"
        on_calendar = isinstance(step, pd.offsets.Tick) or step.is_on_offset(dates[0])
        irregular = irregular_under(dates, step)
        if on_calendar and not irregular.any():
            return dates, rows
        row = int(irregular.argmax()) + 1 if on_calendar else 0
        where = f"{series.place()}, {series.row(row)}"
        if not on_calendar:
            stamp = self.times.shown(series.rows[0])
            raise UserError(
                f"{where}: {stamp} is off the calendar, whose {kind} is {_name(step, self.times)}"
            )
        if self.fill is None:
            before, after = (self.times.shown(series.rows[i]) for i in (row - 1, row))
            raise UserError(
                f"{where}: {before} is followed by {after}, but the {kind} is "
                f"{_name(step, self.times)}; {how_to_fill(origin.source)} inserts missing rows"
                + and_more(int(irregular.sum()), "such rows")
            )
        try:
            return insert_missing_rows(dates, step)
        except IrregularError as error:
            stamp = self.times.shown(series.rows[error.row])
            where = f"{series.place()}, {series.row(error.row)}"
            raise UserError(
                f"{where}: {stamp} {error}; the rows can't be made evenly spaced: correct the "
                f"timestamps, or give {named(origin.source, 'freq')}"
            ) from error

    def _step(self, dates: pd.DatetimeIndex) -> pd.offsets.BaseOffset | None:
        """The step of a series: that of the longest one if it fits, or if there are too few rows to
        tell; else its own."""
        if self.freq is not None or self.step is None or len(dates) < 3:
            return self.step
        if not irregular_under(dates, self.step).any():
            return self.step
        return _step_of_frame([dates], self.times.whole_numbers, None)


def _step_ahead(panel: Panel, table: SeriesTable, freq: Frequency | None) -> pd.offsets.BaseOffset:
    """The step after a table of a panel, by its own calendar or another one.

    Raises:
        UserError: none tells it.
    """
    calendars = [other.dates for other in (table, *panel.tables)]
    step = _step_of_frame(calendars, panel.whole_numbers, freq)
    if step is None:
        raise UserError(
            f"{panel.source}: two different timestamps are needed to infer the step of a forecast: "
            f"give {named(panel.source, 'freq')}"
        )
    return step


def _step_of_frame(
    calendars: list[pd.DatetimeIndex], whole_numbers: bool, freq: Frequency | None
) -> pd.offsets.BaseOffset | None:
    """The step that is given, or else the usual one of the first calendar that has two different
    timestamps, if one has."""
    if freq is not None:
        return _given_step(freq, whole_numbers)
    for dates in calendars:
        if len(dates) > 1:
            return most_common_step(dates) if whole_numbers else usual_step(dates)
    return None


def _given_step(freq: Frequency, whole_numbers: bool) -> pd.offsets.BaseOffset:
    """Read `freq`."""
    if whole_numbers:
        if not str(freq).isdigit() or not int(freq):
            raise UserError(
                f"freq={freq!r}: timestamps are whole numbers: give one, or leave it out"
            )
        return to_offset(pd.Timedelta(int(freq), unit="s"))
    try:
        step = to_offset(freq)
    except (ValueError, TypeError):
        step = None
    if step is None or step.n < 1:
        raise UserError(
            f"freq={freq!r} is no frequency of pandas: use s, min, h, D, B, W-MON, MS, ME, QE, YE "
            "or the like, or a multiple such as 15min"
        )
    return step


def _seconds(step: pd.offsets.BaseOffset) -> int:
    start = pd.Timestamp(0)
    return int((start + step - start).total_seconds())


def _name(step: pd.offsets.BaseOffset, times: _Times) -> str:
    return str(_seconds(step)) if times.whole_numbers else step.freqstr
