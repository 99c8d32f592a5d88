"""Forecasts of what follows the series of a panel: their units, their table, their file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_provider.checks import PARQUET, and_more, shortened
from data_provider.covariates import require_future
from data_provider.panel import Panel, Reading, Table
from data_provider.windows import WindowDataset
from exp.intervals import AT_REST, INTERVALS, Intervals, LookBacks, bounds_of
from utils.checkpoint import OWN, Checkpoint
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import whole_file
from utils.plots import future_figure

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

Schema = dict[str, object]  # of a Polars frame: types by column
CUTOFF = "cutoff"  # column of a cross-validation: the last timestamp that was known
INTERVAL_PARTS = ("quantiles", "least", "unit")  # tensors of the intervals


@dataclass(frozen=True)
class Forecast:
    """A forecast of each table of a panel.

    Attributes:
        model: its name. panel: of the series that are forecast.
        windows: of the tables, one each. x, pred: their look-backs and forecasts, scaled,
            `[tables, steps, channels]`.
        outputs: the forecast and the bounds of its intervals, by names of columns, in the units of
            the series, `[tables, steps, channels]`. levels: of the intervals, in %.
    """

    model: str
    panel: Panel
    windows: WindowDataset
    x: Tensor
    pred: Tensor
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    levels: Sequence[float] = ()

    def unscaled(self, values: Tensor) -> np.ndarray:
        """Convert forecasts or bounds to the units of the series, in float64."""
        index = torch.arange(len(values), device=values.device)
        return self.windows.inverse_transform(values, index).cpu().numpy()

    def in_unit(self, intervals: Intervals) -> Intervals:
        """Convert intervals to the units of the scaled forecasts; see `Intervals.in_unit`."""
        return intervals.in_unit(None if self.panel.pooled else self.windows.unit)

    def with_intervals(
        self, levels: Sequence[float] = (), intervals: Intervals | None = None
    ) -> "Forecast":
        """Return the forecast with `outputs`; `levels` are in %."""
        found = {self.model: self.pred}
        intervals = intervals and self.in_unit(intervals)
        looks = LookBacks.of(self.x)
        ids = [name for table in self.panel.tables for name in table.ids]
        if levels and (rest := list(compress(ids, looks.rests.flatten().tolist()))):
            print(
                f"warning: {shortened(rest)}: over {AT_REST:.0%} of the look-back is one value: "
                "the intervals include it, and may cover more than their level",
                file=sys.stderr,
            )
        for level in levels:
            bounds = intervals.bounds(self.pred, looks, level)
            found |= dict(zip(bounds_of(self.model, level), bounds, strict=True))
        outputs = {name: self.unscaled(values) for name, values in found.items()}
        return replace(self, outputs=outputs, levels=levels)

    def table(self, h: int, long: bool | None = None) -> pd.DataFrame:
        """Write the first `h` steps of `outputs` in the form of the panel's table: long, with a
        column for each output; or wide, with a column for each series, and such as `OT-lo-80` for
        an output `MODEL-lo-80`. `long` is by default as the panel's table was."""
        panel, reading = self.panel, self.panel.reading
        places = {
            name: (number, channel)
            for number, table in enumerate(panel.tables)
            for channel, name in enumerate(table.ids)
        }
        tables, channels = np.array([places[name] for name in panel.names]).T
        columns = {name: values[tables, :h, channels] for name, values in self.outputs.items()}
        times = [panel.clock.stamps(panel.future(table, h)) for table in panel.tables]
        if not (panel.long if long is None else long):
            series = {  # of other dates they have gaps
                f"{name}{output.removeprefix(self.model)}": pd.Series(row, times[number])
                for output, values in columns.items()
                for name, row, number in zip(panel.names, values, tables, strict=True)
            }
            if len(series) < len(columns) * len(panel.names):
                why = "a series is named like the bound of another, as NAME-lo-80: rename it"
                raise UserError(f"{panel.source}: {why}")
            return pd.DataFrame(series).rename_axis(reading.time_col).reset_index()
        first, *others = [times[number] for number in tables]
        return pd.DataFrame(
            {
                reading.id_col: pd.Index(panel.names).repeat(h),
                reading.time_col: first.append(others) if others else first,
                **{name: values.ravel() for name, values in columns.items()},
            }
        )

    def figure(self, h: int, title: str) -> "Figure":
        """Draw the first `h` steps of up to six series, their intervals, and the rows before."""
        panel = self.panel

        def by_time(values: np.ndarray | None, rows: int) -> pd.DataFrame:
            """Make a column of each series, with local times as index, of the first rows of
            `values`, or of the last rows of the tables."""
            columns = {}
            for number, table in enumerate(panel.tables):
                dates = table.dates[-rows:] if values is None else panel.future(table, rows)
                found = table.values[-rows:] if values is None else values[number, :rows]
                times = panel.clock.axis(dates)
                columns |= {name: pd.Series(found[:, i], times) for i, name in enumerate(table.ids)}
            return pd.DataFrame({name: columns[name] for name in panel.names})

        frames = {name: by_time(values, h) for name, values in self.outputs.items()}
        bands = {one: tuple(frames[n] for n in bounds_of(self.model, one)) for one in self.levels}
        past = by_time(None, 8 * max(h, 96))
        return future_figure(past, frames[self.model], bands, title, self.model)


def intervals_of(checkpoint: Checkpoint) -> Intervals | None:
    """Read the intervals of a file, or those that a run wrote beside it, if there are any."""
    parts = {name: checkpoint.state.get(OWN + name) for name in INTERVAL_PARTS}
    if parts["quantiles"] is not None:
        return Intervals(windows=checkpoint.metadata["calibration_windows"], **parts)
    beside = checkpoint.path.with_name(INTERVALS)
    return Intervals.load(beside) if beside.is_file() else None


def require_forecast(panel: Panel, args: Configuration) -> None:
    """Require that every series of a panel has a look-back, a step, and its future covariates."""
    seq_len = args.seq_len
    short = [table for table in panel.tables if len(table.dates) < seq_len]
    if short:
        more = and_more(len(short), "such series")
        rows = len(short[0].dates)
        raise UserError(
            f"{panel.place(short[0])}: {seq_len - rows} rows are missing to forecast from: the "
            f"look-back is {seq_len}, it has {rows}{more}; give more rows "
            "(start_padding_enabled=True, --start_padding of exp.forecast, continues a series into "
            "its past)"
        )
    for table in panel.tables:
        panel.future(table, 1)
    require_future(panel, args.pred_len)


def schema_of(source: object) -> Schema | None:
    """Return the types of the columns of a Polars frame; None of anything else."""
    polars = type(source).__module__.partition(".")[0] == "polars"
    return dict(source.schema) if polars else None


def in_kind(
    table: pd.DataFrame, schema: Schema | None, reading: Reading
) -> "pd.DataFrame | polars.DataFrame":
    """Convert a forecast to a Polars frame if the series came in one, of this schema; ids and
    timestamps keep their types, unless they were text."""
    if schema is None:
        return table
    import polars  # which is there, if a frame is one

    frame = polars.from_pandas(table)
    keys = {name: name for name in (reading.id_col, reading.time_col)} | {CUTOFF: reading.time_col}
    kinds = {name: schema.get(key) for name, key in keys.items() if name in frame.columns}
    return frame.cast({n: kind for n, kind in kinds.items() if kind and kind != polars.String})


def write_table(path: Path, table: pd.DataFrame, panel: Panel) -> None:
    """Write a forecast as CSV or, by its suffix, as Parquet, atomically; a CSV has the timestamps
    as the panel's table had them."""
    with whole_file(path) as part:
        if path.suffix.lower() in PARQUET:
            table.to_parquet(part, index=False)
            return
        time_col = panel.reading.time_col
        stamps = panel.clock.written(pd.Index(table[time_col]))
        table.assign(**{time_col: stamps}).to_csv(part, index=False)


def recent(panel: Panel, rows: int) -> Panel:
    """Keep the last `rows` rows of each table, and nothing else in memory."""

    def copied(part: Table) -> Table:
        past, future = (other and copied(other) for other in (part.past, part.future))
        # row by row, as a saved series is: the layout decides how products are rounded
        return Table(part.dates.copy(), part.ids, part.values.copy(order="C"), past, future)

    return panel.with_tables(lambda table: copied(table.rows(slice(-rows, None))))
