"""From frames to panels, and from forecasts back to frames: long, wide, and as Chronos has them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.frames import (
    FRAME,
    Panel,
    future_timestamps,
    panel_from_long,
    panel_from_wide,
    require_columns,
)
from utils.errors import UserError

Outputs = Mapping[str, np.ndarray]  # by name of a column: `[tables, steps, channels]`
WIDE_TIME = "date"


@dataclass(frozen=True)
class Form:
    """The names of a frame's columns, and where it is from.

    Attributes:
        id_col, time_col, target_col: of a long frame; a wide one has no `id_col`.
        source: the file that it was read from, or what messages call it.
    """

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    source: Path | str = FRAME

    def is_wide(self, frame: pd.DataFrame) -> bool:
        """Whether a frame has a column for each series; not if a column of long ones was named."""
        names, usual = (self.id_col, self.target_col), (Form.id_col, Form.target_col)
        return names == usual and not any(name in frame.columns for name in names)

    def read(self, frame: pd.DataFrame, mode: str, freq: str | None, fill: str | None) -> Panel:
        """Read a frame, long or wide; see `data_provider.frames`.

        Raises:
            UserError: it has neither form, or the rows are not sound.
        """
        options = {"freq": freq, "fill": fill, "panel": mode, "source": self.source}
        if not hasattr(frame, "columns"):
            raise UserError(f"df is a {type(frame).__name__}: give a DataFrame")
        if not self.is_wide(frame):
            return panel_from_long(frame, self.id_col, self.time_col, self.target_col, **options)
        return panel_from_wide(frame, self.wide_time(frame), **options)

    def require_long(self, frame: pd.DataFrame) -> None:
        """Require the columns of a long frame; see `require_columns`."""
        columns = {name: getattr(self, name) for name in ("id_col", "time_col", "target_col")}
        require_columns(frame, columns, self.source)

    def wide_time(self, frame: pd.DataFrame) -> str:
        """Name of the time of a wide frame: `time_col` if it has one, else `date`."""
        return self.time_col if self.time_col in frame.columns else WIDE_TIME

    def table(
        self,
        panel: Panel,
        outputs: Outputs,
        h: int,
        freq: str | None = None,
        wide: str | None = None,
        model: str = "",
    ) -> pd.DataFrame:
        """Write forecasts in this form.

        Args:
            panel: the tables that were forecast. outputs: of which the first `h` steps are taken.
            freq: of the panel, if it was given.
            wide: name of the time in a wide table, which has a column for each series, and such as
                `OT-lo-80` for an output `MODEL-lo-80`; None for a long one.
            model: the output that needs no ending there.
        """
        places = {
            name: (number, channel)
            for number, ids in enumerate(panel.ids)
            for channel, name in enumerate(ids)
        }
        tables, channels = np.array([places[name] for name in panel.names]).T
        columns = {name: values[tables, :h, channels] for name, values in outputs.items()}
        times = [future_timestamps(panel, n, h, freq) for n in range(len(panel.tables))]
        if wide is not None:
            found = {
                f"{series}{name.removeprefix(model)}": values[row]
                for name, values in columns.items()
                for row, series in enumerate(panel.names)
            }
            return pd.DataFrame({wide: times[0], **found})
        first, *others = [times[number] for number in tables]
        return pd.DataFrame(
            {
                self.id_col: pd.Index(panel.names).repeat(h),
                self.time_col: first.append(others) if others else first,
                **{name: values.ravel() for name, values in columns.items()},
            }
        )


def by_time(
    panel: Panel, values: np.ndarray | None, h: int, freq: str | None = None
) -> pd.DataFrame:
    """Make a column of each series, with local times as index, for a picture.

    Args:
        panel: tables. values: forecasts `[tables, steps, channels]`, of which the first `h` steps
            are taken; None takes the last `h` rows of the tables. freq: see `Form.table`.
    """
    columns = {}
    for number, (table, ids) in enumerate(zip(panel.tables, panel.ids, strict=True)):
        if values is None:
            times: pd.Index = table.dates[-h:]
            if panel.whole_numbers:
                times = pd.Index(times.as_unit("s").asi8)
            elif panel.tz is not None and table.offset:  # in UTC
                times = times.tz_localize("UTC").tz_convert(panel.tz).tz_localize(None)
            found = table.values[-h:]
        else:
            times = future_timestamps(panel, number, h, freq)
            if isinstance(times, pd.DatetimeIndex):
                times = times.tz_localize(None)
            found = values[number, :h]
        columns |= {name: pd.Series(found[:, i], times) for i, name in enumerate(ids)}
    return pd.DataFrame({name: columns[name] for name in panel.names})


def cut(panel: Panel, rows: int) -> Panel:
    """Leave out the last `rows` rows of each table, at least one.

    Raises:
        UserError: a table has no more.
    """
    for table in panel.tables:
        if len(table.values) <= rows:
            raise UserError(f"{table.path}: {len(table.values)} rows: more than {rows} are needed")
    return _rows(panel, slice(None, -rows))


def recent(panel: Panel, rows: int) -> Panel:
    """Keep the last `rows` rows of each table."""
    return _rows(panel, slice(-rows, None))


def _rows(panel: Panel, part: slice) -> Panel:
    tables = [
        replace(table, dates=table.dates[part], values=table.values[part].copy())
        for table in panel.tables
    ]
    return replace(panel, tables=tables)


def first_steps(panel: Panel, rows: int, steps: int) -> np.ndarray:
    """Of the last `rows` rows the first `steps`, `[tables, steps, channels]`."""
    last = [table.values[len(table.values) - rows :] for table in panel.tables]
    return np.stack(last)[:, :steps]


def check_steps(asked: int | None, trained: int) -> int:
    """Return how many steps to forecast.

    Raises:
        UserError: more than the model was trained for, or none.
    """
    steps = trained if asked is None else asked
    if not isinstance(steps, Integral) or not 0 < steps <= trained:
        raise UserError(f"h={steps}: this model was trained for 1 to {trained} steps")
    return steps
