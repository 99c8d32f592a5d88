"""The forecast of what follows a file: `forecast.csv` and its picture, in original units."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import Tensor

from data_provider.timestamps import format_timestamps
from exp.intervals import INTERVALS, Intervals, bounds_of, check_levels
from exp.record import account
from utils.batch import Batch
from utils.errors import UserError
from utils.files import whole_file

if TYPE_CHECKING:
    from exp.exp_long_term_forecasting import ExpLongTermForecasting


def write_forecast(run: "ExpLongTermForecasting") -> None:
    """Forecast from the end of the file, with the intervals of `--level`, and draw it.

    Raises:
        UserError: there are no intervals.
    """
    windows, given, levels = run.tail, run.source.table, run.args.level or []
    intervals = _intervals(run)
    batch = run.with_marks(Batch(windows.values[None]), windows, run.one(0))
    pred, x = (windows.scored(y) for y in (run.evaluation.predict(batch), batch.x))
    found = {"": pred}
    for level in levels:
        names = bounds_of("", level)
        found |= dict(zip(names, intervals.bounds(pred, x, level), strict=True))
    channels = [run.args.target] if windows.target is not None else windows.columns
    chosen = [name for name in given.columns if name in channels]

    def frame(values: Tensor) -> pd.DataFrame:
        array = windows.inverse_transform(values)[0].cpu().numpy().astype(np.float64)
        return pd.DataFrame(array, columns=channels)[chosen]

    frames = {name: frame(values) for name, values in found.items()}
    table = pd.concat([frames[name].add_suffix(name) for name in frames], axis=1)
    dates = format_timestamps(run.future, given.offset, given.date_only)
    table.insert(0, "date", dates)
    path = run.folders.results / "forecast.csv"
    if run.folders.writes:
        with whole_file(path) as part:
            table.to_csv(part, index=False)
        _draw(run, frames, channels, chosen)
    if run.test_set is None and not run.args.is_training:
        run.folders.save_record(account(run, {}, forecast_from=str(given.path), filled=run.filled))
    print(f"forecast of {dates[0]} to {dates[-1]} in {path}")


def _intervals(run: "ExpLongTermForecasting") -> Intervals | None:
    """Return the intervals of `--level`: those of the test, or else those beside the checkpoint; in
    the units of the forecast, whose scaler may be another one."""
    if not run.args.level:
        return None
    found = run.intervals
    if found is None and run.checkpoint is not None:
        path = run.checkpoint.path.with_name(INTERVALS)
        found = Intervals.load(path) if path.is_file() else None
    if found is None:
        raise UserError(
            f"--level: {run.source.table.path} has too few rows for a validation split, and there "
            "are no intervals beside the checkpoint: leave --level out, or train with it"
        )
    check_levels(run.args.level, found)
    return found.in_unit(run.tail.unit)


def _draw(
    run: "ExpLongTermForecasting",
    frames: dict[str, pd.DataFrame],
    channels: list[str],
    chosen: list[str],
) -> None:
    """Draw the forecast, with the rows before it."""
    from utils.plots import plot_future  # takes a second to import

    source, whole_numbers = run.source, run.source.table.offset is None

    def times(dates: pd.DatetimeIndex) -> pd.Index:
        return pd.Index(dates.as_unit("s").asi8) if whole_numbers else dates

    columns = [source.columns.index(name) for name in channels]
    past = pd.DataFrame(source.values[:, columns], times(source.table.dates), channels)[chosen]
    frames = {name: table.set_axis(times(run.future)) for name, table in frames.items()}
    bands = {
        level: tuple(frames[name] for name in bounds_of("", level))
        for level in run.args.level or []
    }
    plot_future(
        run.folders.plots / "forecast.png",
        past.tail(4 * max(run.args.seq_len, run.args.pred_len)),
        frames[""],
        bands,
        f"{source.table.path.name}: forecast by {run.args.model}",
        run.args.model,
    )
