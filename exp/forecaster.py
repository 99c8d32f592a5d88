"""Forecasts of one's own data from Python: fit, predict, cross-validate, save, share.

from exp.forecaster import CALFForecaster

forecaster = CALFForecaster(h=30, input_size=96, level=[80, 95])
forecaster.fit(df)                 # unique_id, ds, y; or a time and a column for each series
forecast = forecaster.predict()    # unique_id, ds, CALF, CALF-lo-80, CALF-hi-80, …
"""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from data_provider.frames import Panel
from data_provider.timestamps import RECENT
from exp.device import prepare_torch
from exp.forecast_tables import (
    Form,
    by_time,
    check_steps,
    cut,
    first_steps,
    recent,
)
from exp.intervals import PROBABILITIES, bounds_of
from exp.panel import ExpPanel
from exp.predictor import Predictor
from exp.sharing import Shared
from utils.errors import UserError
from utils.files import require_picture
from utils.interrupts import Interrupted


class CALFForecaster(Shared, Predictor):
    """A forecaster of one or many series, trained by the loop of `run.py`.

    A frame is long (`unique_id`, `ds`, `y`, a row for each series and timestamp) or wide (a time
    and a numeric column for each series). Where all series have the same timestamps they are the
    channels of one window: CALF makes a token of each, and sees them together. Else each is trained
    on by itself in one pooled model. `panel` decides otherwise.

    Args:
        h: horizon, in steps. input_size: look-back, in steps.
        freq: pandas alias of the step; by default it is inferred.
        model: a file of `models/`.
        level: of the prediction intervals, in %; they need validation windows.
        panel: "channels", "pooled", or "auto".
        fill_missing: "linear" or "ffill" fills missing values and rows; None refuses them.
        start_padding_enabled: continue a series that is shorter than the look-back into its past,
            by its first value.
        seed: of all random choices.
        verbose: whether training prints its epochs and a progress bar.
        options: further options of `run.py` by their names, such as `train_epochs=20`,
            `learning_rate=0.0005`, `llm="path/to/gpt2"` or `use_gpu=False`.

    Raises:
        UserError: an option is unknown or has a wrong value.
    """

    def __init__(
        self,
        h: int,
        input_size: int = 96,
        freq: str | None = None,
        model: str = "CALF",
        level: Sequence[float] | None = None,
        panel: str = "auto",
        fill_missing: str | None = None,
        start_padding_enabled: bool = False,
        seed: int = 2021,
        verbose: bool = True,
        **options: object,
    ):
        self.h, self.input_size, self.freq, self.model = h, input_size, freq, model
        self.level, self.panel, self.fill_missing = level, panel, fill_missing
        self.start_padding_enabled, self.seed, self.verbose = start_padding_enabled, seed, verbose
        self.options = options
        self.arguments()  # checks them

    def fit(
        self,
        df: pd.DataFrame,
        val_size: int | None = None,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
    ) -> "CALFForecaster":
        """Train on all series of a frame.

        Args:
            df: long or wide.
            val_size: last rows of each series that choose the epoch and calibrate the intervals;
                by default a fifth of them, at least the horizon; 0 trains on all rows for
                `train_epochs`, without intervals.
            id_col, time_col, target_col: of a long frame; a wide one has `time_col` or `date`.

        Raises:
            UserError: the frame has a gap, text, a duplicate, …: the message names series and
                column; or the series are too short; or training diverged.
        """
        self.form = Form(id_col, time_col, target_col)
        return self._fit(self.read(df, self.panel), val_size)

    def _fit(self, panel: Panel, val_size: int | None) -> "CALFForecaster":
        args = self.arguments(panel)
        prepare_torch(args)
        with self.output(), TemporaryDirectory(prefix="forecaster-") as folder:
            args.checkpoints = str(Path(folder) / "checkpoints")
            run = ExpPanel(args, Path(folder), panel, val_size, self.start_padding_enabled)
            try:
                if run.args.is_training:  # naive forecasts are not trained
                    run.train()
                    run.trivial.check(run.progress.best)
            except Interrupted as interruption:
                raise KeyboardInterrupt from interruption
            self.intervals = run.calibrate() if run.val_set is not None else None
        run.forget_training()
        self.run, self.history = run, recent(panel, max(self.input_size, RECENT))
        return self

    def predict(
        self,
        df: pd.DataFrame | None = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        recalibrate: bool = False,
    ) -> pd.DataFrame:
        """Forecast what follows the series.

        Args:
            df: other series, or newer rows of the same, long or wide, with columns named as in
                `fit`; by default the series of `fit`.
            h: steps, at most those that were trained for.
            level: instead of that of the constructor.
            recalibrate: take the intervals from forecasts within `df`, whose truth it has, instead
                of those of the validation rows.

        Returns:
            Of a long frame `unique_id, ds, CALF, CALF-lo-80, CALF-hi-80, …`; of a wide one the
            time, a column for each series, and `NAME-lo-80`, `NAME-hi-80`, ….

        Raises:
            UserError: see `fit`; or a series is shorter than the look-back.
        """
        panel, steps = self.panel_of(df), check_steps(h, self.h)
        outputs = self.outputs(panel, self.level if level is None else level, recalibrate)
        return self.form.table(panel, outputs, steps, self.freq, self.wide, self.model)

    def plot(
        self,
        path: str | Path,
        df: pd.DataFrame | None = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        title: str = "",
    ) -> list[Path]:
        """Draw the forecasts of up to six series, and the rows before them.

        Args:
            path: PNG, with a PDF beside it, or PDF or SVG. df, h, level: see `predict`.

        Returns:
            The pictures.
        """
        from utils.plots import plot_future  # takes a second to import

        require_picture(Path(path))
        levels = (self.level if level is None else level) or ()
        panel, steps = self.panel_of(df), check_steps(h, self.h)
        outputs = {
            name: by_time(panel, values, steps, self.freq)
            for name, values in self.outputs(panel, levels).items()
        }
        bands = {one: tuple(outputs[name] for name in bounds_of(self.model, one)) for one in levels}
        history = by_time(panel, None, 3 * self.input_size)
        return plot_future(path, history, outputs[self.model], bands, title, self.model)

    def cross_validation(
        self,
        df: pd.DataFrame,
        n_windows: int = 1,
        step_size: int = 1,
        refit: bool = False,
        val_size: int | None = None,
        level: Sequence[float] | None = None,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
    ) -> pd.DataFrame:
        """Train on the rows before the first cutoff, and forecast from several, as neuralforecast
        does.

        Args:
            df: long or wide. n_windows: cutoffs; the last one is `h` rows before the end.
            step_size: rows between cutoffs.
            refit: train anew on the rows before each cutoff.
            val_size: see `fit`; they are before the cutoff. level: see `predict`.
            id_col, time_col, target_col: see `fit`.

        Returns:
            `unique_id, ds, cutoff, CALF, …, y`, long.
        """
        for name, count in (("n_windows", n_windows), ("step_size", step_size)):
            if not isinstance(count, Integral) or count < 1:
                raise UserError(f"{name}={count}: give a whole number from 1")
        self.form = Form(id_col, time_col, target_col)
        panel, found = self.read(df, self.panel), []
        for window in range(n_windows):
            ahead = self.h + (n_windows - 1 - window) * step_size
            known = cut(panel, ahead)
            if window == 0 or refit:
                self._fit(known, val_size)
            outputs = self.outputs(known, self.level if level is None else level)
            outputs["y"] = first_steps(panel, ahead, self.h)
            table = self.form.table(known, outputs, self.h, self.freq)
            cutoffs = self.form.table(cut(known, 1), {}, 1, self.freq)[time_col]
            table.insert(2, "cutoff", cutoffs.repeat(self.h).to_numpy())
            found.append(table)
        return pd.concat(found, ignore_index=True)

    def predict_df(
        self,
        df: pd.DataFrame,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str = "target",
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> pd.DataFrame:
        """Forecast a long frame as Chronos's pipelines do.

        The quantiles are those of the intervals; `predictions` is the model's forecast, which is
        not the quantile 0.5.

        Returns:
            `item_id, timestamp, target_name, predictions`, and a column for each quantile, named by
            it.
        """
        run, form = self.trained(), Form(id_column, timestamp_column, target)
        panel = run.arranged(form.read(df, run.mode, self.freq, self.fill_missing))
        steps = check_steps(prediction_length, self.h)
        with self.output():
            looks, forecasts = run.forecast(self.long_enough(panel))
        outputs = {"predictions": forecasts}
        for level in quantile_levels:
            if not PROBABILITIES[0] <= level <= PROBABILITIES[-1]:
                limits = f"{PROBABILITIES[0]} and {PROBABILITIES[-1]}"
                raise UserError(f"quantile_levels: {level} is not between {limits}")
            outputs[str(level)] = self.calibration().quantile(forecasts, looks, level)
        outputs = {name: run.unscaled(panel, values) for name, values in outputs.items()}
        table = form.table(panel, outputs, steps, self.freq)
        table.insert(2, "target_name", target)
        return table
