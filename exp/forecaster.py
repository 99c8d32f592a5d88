"""Forecasts of one's own data from Python: fit, predict, cross-validate, save, share; see
docs/python.md."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Union

import numpy as np
import pandas as pd

from data_provider.calendars import Frequency, mark_frequency
from data_provider.covariates import with_future
from data_provider.panel import Panel, Reading
from data_provider.reader import read_panel
from data_provider.splits import padded
from exp.device import prepare_torch
from exp.exp_long_term_forecasting import ExpLongTermForecasting, InMemory
from exp.forecasts import CUTOFF, Forecast, Schema, in_kind, recent, schema_of
from exp.intervals import PROBABILITIES, Intervals, LookBacks, check_levels, require_levels
from exp.sharing import OPTION_NAMES, PARAMETERS, SharedForecaster
from models import registry
from utils.bars import quiet
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import require_picture
from utils.interrupts import Interrupted
from utils.option_table import NAMES_ELSEWHERE
from utils.options import configure
from utils.plots import for_notebooks, save

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

Frame = Union[pd.DataFrame, "polars.DataFrame"]
Source = Union[str, Path, Frame]  # noqa: UP007
HISTORY = 512  # most recent rows of a series that are stored, at least, for its step


class CALFForecaster(SharedForecaster, library_name="calf", tags=["time-series-forecasting"]):
    """A forecaster of one or many series, which holds a run of `run.py`.

    A table is a frame of pandas or Polars, or the path of a CSV or Parquet file; long (`unique_id`,
    `ds`, `y`) or wide (a time and a column for each series). Series with the same timestamps are
    the channels of one window, others are pooled, each by itself, in one model; `panel` decides
    otherwise.

    Args:
        h: horizon, in steps, which has no default. input_size: look-back, in steps.
        freq: pandas alias of the step; by default it is inferred.
        model: a file of `models/`.
        level: of the prediction intervals, in %; they need validation windows.
        panel: "channels", "pooled", or "auto".
        fill_missing, duplicates, dayfirst: see `data_provider.panel.Reading`.
        start_padding_enabled: continue a series that is shorter than the look-back into its past,
            by its first value.
        seed: of all random choices.
        verbose: whether training prints its epochs and a progress bar.
        hist_exog_list, futr_exog_list: columns that are covariates, known up to now, and ahead.
        options: further options of `run.py` by their names, such as `train_epochs=20` or
            `use_gpu=False`. With `checkpoints`, a folder, training saves states there, from which
            `resume=True` continues.

    Raises:
        UserError: an option is unknown or has a wrong value.
    """

    schema: Schema | None = None  # of a Polars frame that was trained on

    def __init__(
        self,
        h: int | None = None,
        input_size: int = 96,
        freq: Frequency | None = None,
        model: str = "CALF",
        level: Sequence[float] | None = None,
        panel: str = "auto",
        fill_missing: str | None = None,
        duplicates: str | None = None,
        dayfirst: bool | None = None,
        start_padding_enabled: bool = False,
        seed: int = 2021,
        verbose: bool = True,
        hist_exog_list: Sequence[str] | None = None,
        futr_exog_list: Sequence[str] | None = None,
        **options: object,
    ):
        self.h, self.input_size, self.freq, self.model = h, input_size, freq, model
        self.level, self.panel, self.fill_missing = level, panel, fill_missing
        self.duplicates, self.dayfirst = duplicates, dayfirst
        self.hist_exog_list, self.futr_exog_list = hist_exog_list, futr_exog_list
        self.start_padding_enabled, self.seed, self.verbose = start_padding_enabled, seed, verbose
        self.options = options
        self.table_options: dict[str, str | None] = {}
        self.configuration()  # checks them

    def configuration(self, panel: Panel | None = None) -> Configuration:
        """Make the configuration of the run; a panel decides the frequency of time marks.

        Raises:
            UserError: a parameter is unknown or has a wrong value.
        """
        self.levels()
        _require_whole("h", self.h, 1)
        for name in ("start_padding_enabled", "verbose"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name}={getattr(self, name)!r}: give True or False")
        dates = panel and panel.tables[0].dates
        counts = panel and panel.clock.counts_steps
        own = {
            "task_name": "long_term_forecast",
            "is_training": 1,
            "model_id": "forecaster",
            "data": "custom",
            **{name: getattr(self, OPTION_NAMES.get(name, name)) for name in PARAMETERS},
            "freq": mark_frequency(self.freq, dates, counts),
        }
        fixed = sorted(self.options.keys() & own.keys())
        if fixed:
            likely = NAMES_ELSEWHERE.get(fixed[0])
            meant = f": did you mean {likely}?" if likely else ""
            raise UserError(f"{fixed[0]} is set by the parameters of the forecaster{meant}")
        values = {"label_len": 0} | self.table_options | own | self.options
        return configure(values, registry, OPTION_NAMES)

    # Tables

    def read(self, table: Source, panel: str | None = None) -> Panel:
        """Read a table by the columns of `fit`."""
        reading = Reading.of(self.configuration())
        reading = replace(reading, panel=panel or self.panel, freq=self.freq)
        with self.output(errors=False):  # warnings about tables stay
            return read_panel(table, reading, self.run and self.run.series_notes.get("reading"))

    def panel_of(self, table: Source | None, future: Source | None = None) -> Panel:
        """Read the series to forecast, or take those of `fit`, and their future covariates."""
        run = self.trained()
        if table is None and self.history is None:
            raise UserError("give df: this forecaster was saved without its series")
        panel = self.history if table is None else self.read(table, run.mode)
        return panel if future is None else with_future(panel, future, run.args.pred_len)

    @property
    def validation_scores(self) -> dict[str, dict[str, float]] | None:
        """Standardised mse and mae on the validation windows, by name: of the model, which they
        chose, and of naive forecasts; None without such windows."""
        found = self.run and self.run.series_notes.get("scores")
        return found and found["scores"]

    def output(self, errors: bool = True) -> AbstractContextManager:
        """Without `verbose`, leave out what is printed, and progress bars."""
        return nullcontext() if self.verbose else quiet(errors)

    # Training

    def fit(
        self,
        df: Source,
        val_size: int | None = None,
        id_col: str = Reading.id_col,
        time_col: str | None = None,
        target_col: str = Reading.target_col,
    ) -> "CALFForecaster":
        """Train on all series of a table.

        Args:
            val_size: last rows of each series that choose the epoch and calibrate the intervals;
                by default a fifth of them, at least the horizon; 0 trains on all rows for
                `train_epochs`, without intervals.
            id_col, target_col: of a long table.
            time_col: timestamps; by default `date`, `ds`, `timestamp` or the like.

        Raises:
            UserError: the table has text, a duplicate, a missing value, …: the message names series
                and column; or the series are too short; or training diverged.
        """
        self.table_options = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
        self._check_val_size(val_size, self.levels())
        self.run, self.schema = None, schema_of(df)
        return self._fit(self.read(df), val_size)

    def _check_val_size(self, val_size: int | None, levels: Sequence[float] | None) -> None:
        """Check `val_size`, and that there will be validation windows for intervals."""
        _require_whole("val_size", val_size, 0)
        if levels and val_size == 0:
            raise UserError(
                "level: val_size=0 leaves no validation windows to take intervals from: give a "
                f"val_size of at least h={self.h}, or level to predict(df, recalibrate=True) alone"
            )

    def _fit(self, panel: Panel, val_size: int | None) -> "CALFForecaster":
        args = self.configuration(panel)
        keep_states = "checkpoints" in args.given
        prepare_torch(args)
        with self.output(), TemporaryDirectory(prefix="forecaster-") as folder:
            if not keep_states:
                args = args.replace(checkpoints=str(Path(folder) / "checkpoints"))
            run = ExpLongTermForecasting(
                args,
                memory=InMemory(panel, val_size, self.start_padding_enabled),
                root=Path(folder),
                keep_states=keep_states,
            )
            with run.folders.claim():
                try:
                    if run.args.is_training:  # naive forecasts are not trained
                        run.train()
                        run.trivial.check(run.progress.best)
                        run.clear_states()
                except Interrupted as interruption:
                    raise KeyboardInterrupt from interruption
                self.intervals = run.validate()
            self.history = recent(run.panel, max(self.input_size, HISTORY))
        run.release()
        self.run = run
        return self

    # Forecasts

    def predict(
        self,
        df: Source | None = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        recalibrate: bool = False,
        futr_df: Source | None = None,
    ) -> Frame:
        """Forecast what follows the series.

        Args:
            df: other series, or newer rows of the same; by default the series of `fit`.
            h: steps, at most those that were trained for.
            level: instead of that of the constructor.
            recalibrate: take the intervals from forecasts within `df`, whose truth it has, instead
                of those of the validation rows.
            futr_df: the columns `futr_exog_list`, with a row for each step of the trained horizon,
                and of a long table for each series.

        Returns:
            Of a long table `unique_id, ds, CALF, CALF-lo-80, CALF-hi-80, …`; of a wide one the
            time, a column for each series, and `NAME-lo-80`, `NAME-hi-80`, …. Of a Polars frame one
            of Polars.

        Raises:
            UserError: see `fit`; or a series is shorter than the look-back; or a future covariate
                is not known: the message names series, column and date.
        """
        steps = self.steps(h)
        forecast = self.forecast(self.panel_of(df, futr_df), level, recalibrate)
        schema = self.schema if df is None else schema_of(df)
        return in_kind(forecast.table(steps), schema, forecast.panel.reading)

    def forecast(
        self, panel: Panel, level: Sequence[float] | None = None, recalibrate: bool = False
    ) -> Forecast:
        """Forecast a panel, with the bounds of intervals, in original units."""
        levels, run = self.levels(level), self.trained()
        if not panel.pooled:
            panel = run.arranged(panel, run.series_notes["columns"])
        if self.start_padding_enabled:
            for table in panel.tables:
                panel.future(table, 1)  # a step is needed to continue it
            panel = panel.with_tables(lambda table: padded(table, self.input_size))
        with self.output():
            forecast = run.forecast(panel)
            intervals = None
            if levels:
                intervals = run.recalibrate(panel) if recalibrate else self._intervals()
        if intervals is not None:
            check_levels(levels, intervals)
        return forecast.with_intervals(levels, intervals)

    def levels(self, level: Sequence[float] | None = None) -> list[float]:
        """Return the levels of intervals, by default those of the constructor."""
        level = self.level if level is None else level
        if level is None:
            return []
        require_levels(level)
        return list(level)

    def steps(self, h: int | None) -> int:
        """Return how many steps to forecast: at most those that the model was trained for."""
        steps, most = self.h if h is None else h, self.trained().args.pred_len
        if isinstance(steps, bool) or not isinstance(steps, Integral) or not 0 < steps <= most:
            raise UserError(f"h={steps!r}: this model was trained for 1 to {most} steps")
        return steps

    def _intervals(self) -> Intervals:
        if self.intervals is None:
            raise UserError(
                "level: there are no validation windows to take intervals from: fit with a "
                f"val_size of at least h={self.h}, or predict(df, recalibrate=True)"
            )
        return self.intervals

    def plot(
        self,
        path: str | Path | None = None,
        df: Source | None = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        title: str = "",
        futr_df: Source | None = None,
    ) -> "Figure":
        """Draw the forecasts of up to six series, and the rows before them; a notebook shows the
        figure.

        Args:
            path: to write it to: PNG, with a PDF beside it, or PDF or SVG.
            df, h, level, futr_df: see `predict`.
        """
        if path is not None:
            require_picture(Path(path))
        steps = self.steps(h)
        figure = self.forecast(self.panel_of(df, futr_df), level).figure(steps, title)
        if path is not None:
            save(figure, path)
        return for_notebooks(figure)

    def cross_validation(
        self,
        df: Source,
        n_windows: int = 1,
        step_size: int = 1,
        refit: bool = False,
        val_size: int | None = None,
        level: Sequence[float] | None = None,
        id_col: str = Reading.id_col,
        time_col: str | None = None,
        target_col: str = Reading.target_col,
    ) -> Frame:
        """Train on the rows before the first cutoff, and forecast from several, as neuralforecast
        does. This forecaster stays as it was, and so does the folder of its `checkpoints`.

        Args:
            n_windows: cutoffs; the last one is `h` rows before the end. Covariates that are known
                ahead are those of the frame.
            step_size: rows between cutoffs.
            refit: train anew on the rows before each cutoff.
            df, val_size, id_col, time_col, target_col: see `fit`. level: see `predict`.

        Returns:
            `unique_id, ds, cutoff, CALF, …, y`, long.
        """
        _require_whole("n_windows", n_windows, 1)
        _require_whole("step_size", step_size, 1)
        if {CUTOFF, "y"} & {id_col, time_col}:
            raise UserError("id_col, time_col: the result has columns cutoff and y: rename yours")
        self._check_val_size(val_size, self.levels(level))
        trial, found = copy(self), []
        trial.run = trial.intervals = trial.history = None
        states = ("checkpoints", "resume")
        trial.options = {name: v for name, v in self.options.items() if name not in states}
        trial.table_options = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
        panel, schema = trial.read(df), schema_of(df)
        if schema is not None:
            schema[time_col or "ds"] = schema[panel.reading.time_col]
        panel = replace(panel, reading=replace(panel.reading, time_col=time_col or "ds"))
        for window in range(n_windows):
            ahead = self.h + (n_windows - 1 - window) * step_size
            known = _before(panel, ahead)
            if window == 0 or refit:
                trial._fit(known, val_size)
            forecast = trial.forecast(known, level)
            true = panel if panel.pooled else panel.only(forecast.panel.tables[0].ids)
            forecast.outputs["y"] = np.stack(
                [table.values[len(table.dates) - ahead :][: self.h] for table in true.tables]
            )
            table = forecast.table(self.h, long=True)
            last = replace(forecast, panel=_before(forecast.panel, 1), outputs={})
            cutoffs = last.table(1, long=True)[panel.reading.time_col]
            table.insert(2, CUTOFF, cutoffs.repeat(self.h).to_numpy())
            found.append(table)
        return in_kind(pd.concat(found, ignore_index=True), schema, panel.reading)

    def predict_df(
        self,
        df: Source,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str = "target",
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = (0.1, 0.5, 0.9),
        future_df: Source | None = None,
    ) -> Frame:
        """Forecast a long table as Chronos's pipelines do; `future_df` is `futr_df` of `predict`.

        Returns:
            `item_id, timestamp, target_name, predictions`, and a column for each quantile, named by
            it: those of the intervals; `predictions` is the forecast, not the quantile 0.5.
        """
        within = (PROBABILITIES[0], PROBABILITIES[-1])
        require_levels(quantile_levels, "quantile_levels", within, "[0.1, 0.5, 0.9]")
        steps, reader = self.steps(prediction_length), copy(self)
        names = {"id_col": id_column, "time_col": timestamp_column, "target_col": target}
        reader.table_options = self.table_options | names
        forecast = self.forecast(reader.panel_of(df, future_df), [])
        outputs = {"predictions": forecast.pred}
        intervals = forecast.in_unit(self._intervals())
        for level in quantile_levels:
            outputs[str(level)] = intervals.quantile(forecast.pred, LookBacks.of(forecast.x), level)
        outputs = {name: forecast.unscaled(values) for name, values in outputs.items()}
        table = replace(forecast, outputs=outputs).table(steps)
        table.insert(2, "target_name", target)
        return in_kind(table, schema_of(df), forecast.panel.reading)


def _before(panel: Panel, rows: int) -> Panel:
    for table in panel.tables:
        if len(table.dates) <= rows:
            raise UserError(
                f"{panel.place(table)}: {len(table.dates)} rows: more than {rows} are needed"
            )
    return panel.with_tables(lambda table: table.rows(slice(None, -rows)))


def _require_whole(name: str, value: object, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{name}={value!r}: give a whole number from {least}")
