"""Long-term forecasting: ETT, Weather, Electricity, Traffic and any CSV of that form."""

import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data_provider.csv_source import NoWindowError, SeriesSource, target_args
from data_provider.timestamps import future_dates
from data_provider.windows import WindowDataset
from exp.baselines import naive_errors
from exp.future import write_forecast
from exp.intervals import INTERVALS, Intervals, IntervalTest, thinned
from exp.series import ExpSeries
from utils.batch import Batch
from utils.errors import UserError
from utils.metrics import ErrorSums, PlacedErrorSums
from utils.naive import LAST_VALUE, naive_lines, print_naive
from utils.plots import errors_of, plot_forecast, window_title, with_mse

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


class ExpLongTermForecasting(ExpSeries):
    """Train on a CSV; test on its test split or, zero-shot, on that of another CSV."""

    calibration_set: WindowDataset | None = None  # of prediction intervals
    intervals: Intervals | None = None

    def resolve_args(self, args: Namespace) -> Namespace:
        """Refuse a horizon of 0."""
        if args.pred_len < 1:
            raise UserError("--pred_len 0: a forecast needs at least one step")
        return args

    def prepare_data(self) -> None:
        args = self.args
        source = None
        if args.is_training or not args.zero_shot:
            source = SeriesSource(args)
        self.source = test_source = SeriesSource(target_args(args)) if args.zero_shot else source
        self.match_columns(test_source, source.columns if source else None)
        self.note_files(source, test_source)
        self.n_channels = len(test_source.columns)
        if args.level:
            self.calibration_set = self._calibration_set(test_source)
        if args.do_predict:
            self.future = future_dates(test_source.table, args.pred_len)
            self.tail = test_source.tail(self.future, self._saved_scaler()).to(self.device)
        if args.is_training:
            self.train_set = source.split("train").to(self.device)
            self.val_set = source.split("val").to(self.device)
            self.test_set = test_source.split("test").to(self.device)
            source.describe(self.train_set, self.val_set, self.test_set)
            if args.zero_shot:
                print(f"zero-shot: tested on {test_source.table.path}")
            return
        try:
            self.test_set = test_source.split("test").to(self.device)
            self._warn_of_refit()
        except NoWindowError as error:
            if not args.do_predict:
                raise
            print(f"forecast only: {error}")
            self.test_set = None  # too few rows for a test: forecast only
        else:
            print(f"test errors are standardised by the training rows of {test_source.table.path}")

    def _calibration_set(self, source: SeriesSource) -> WindowDataset | None:
        """Return the windows of the validation split, or None if a forecast does without them."""
        try:
            return source.split("val").to(self.device)
        except NoWindowError:
            if self.args.is_training or not self.args.do_predict:
                raise
            return None

    def _warn_of_refit(self) -> None:
        """Say that a test is of rows that the model was trained on."""
        if self.checkpoint and self.checkpoint.metadata.get("refit"):
            print(
                f"warning: {self.checkpoint.path} was trained on all rows of its file: errors on "
                "them are not those of a forecast",
                file=sys.stderr,
            )

    def training_batch(self, index: Tensor) -> Batch:
        return self.windows_batch(self.train_set, index)

    def validation_score(self) -> float:
        return self._mse(self.val_set)

    def batch_score(self, index: Tensor) -> tuple[float, float]:
        windows = self.val_set
        batch = self.windows_batch(windows, index)
        pred = windows.scored(self.evaluation.predict_here(batch))
        return (pred - windows.scored(batch.y)).square().mean().item(), 1

    def test_score(self) -> float:
        return self._mse(self.test_set)

    def trivial_scores(self) -> dict[str, float]:
        windows = self.val_set
        last = naive_errors(self, windows, in_units=False)[LAST_VALUE]["mse"]
        mean = windows.scored(windows.values[None]).square().mean().item()
        return {"the last value": last, "the mean of the training rows": mean}

    def _mse(self, windows: WindowDataset) -> float:
        errors = ErrorSums()
        for _, pred, true in self.forecasts(windows, self.evaluation.batches(windows)):
            errors.add(pred, true)
        return errors.metrics()["mse"]

    def forecasts(
        self, windows: WindowDataset, indices: Iterable[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield look-back, forecast and truth of the windows of each of `indices`, the scored
        channels alone."""
        for index in indices:
            batch = self.windows_batch(windows, index)
            forecast = self.evaluation.predict(batch)
            yield tuple(windows.scored(values) for values in (batch.x, forecast, batch.y))

    def calibration(self, windows: WindowDataset) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Forecast the windows that prediction intervals come from; see `forecasts`."""
        channels = 1 if windows.target is not None else windows.n_channels
        chosen = thinned(len(windows), windows.pred_len * channels)
        numbers = torch.tensor(chosen, device=self.device)
        return self.forecasts(windows, numbers.split(self.evaluation.windows))

    def test(self) -> dict[str, float]:
        """Test on every window; predictions are written batch by batch."""
        windows = self.test_set
        if windows is None:
            return {}
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        errors, intervals = PlacedErrorSums(), self.interval_test(windows)
        scored = windows.target
        channels = windows.columns if scored is None else [windows.columns[scored]]
        shape = (len(windows), windows.pred_len, len(channels))
        with self.folders.arrays(pred=shape, true=shape) as files:
            batches = self.evaluation.batches(windows, "testing")
            for x, pred, true in self.forecasts(windows, batches):
                if intervals is not None:
                    intervals.add(pred, x, true)
                pred, true = self.units(windows, pred), self.units(windows, true)
                errors.add(pred, true)
                files["pred"].write(pred)
                files["true"].write(true)
        tested = {
            "data": str(self.source.table.path),
            "windows": len(windows),
            "channels": len(channels),
            "seconds": time.perf_counter() - start,
        }
        naive = naive_errors(self, windows)
        self._plot(windows)
        more = {} if intervals is None else {"intervals": self.save_intervals(intervals)}
        metrics = self.report(errors, channels, tested, baselines=naive, **more)
        print_naive(self.args.model, metrics["mse"], "mse", naive)
        return metrics

    def interval_test(self, windows: WindowDataset) -> IntervalTest | None:
        """Calibrate the intervals of `--level`, to score them; None without it."""
        if self.calibration_set is None:
            return None
        units = partial(self.units, windows)
        calibration = self.calibration(self.calibration_set)
        unit = self.calibration_set.unit
        return IntervalTest(self.args.level, calibration, unit, windows.pred_len, units)

    def save_intervals(self, test: IntervalTest) -> dict[str, object]:
        """Write the intervals that were tested beside the results, and those of later forecasts,
        from the errors up to the end of the file, beside the checkpoint; print and return their
        scores."""
        self.intervals = test.recalibration.intervals()
        if self.folders.writes:
            test.intervals.save(self.folders.results / INTERVALS)
            if self.args.is_training and self.objective.trained and not self.args.zero_shot:
                self.intervals.save(self.folders.best_checkpoint.with_name(INTERVALS))
        for line in test.lines():
            print(line)
        return test.results() | {"original_units": self.original_units}

    def _plot(self, windows: WindowDataset) -> None:
        """Plot forecasts of the target, or the last channel, for some test windows."""
        if not self.folders.writes:
            return
        channel = self.shown_channel(windows)
        scored = 0 if windows.target is not None else channel
        mixed = self.args.inverse and self.published
        unit = "history in original units, the rest standardised" if mixed else self.unit
        saved = self.folders.saved_array("pred"), self.folders.saved_array("true")
        for number in self.shown_windows(len(windows)):
            x, _ = windows.batch(self.one(number))
            seen = self.units(windows, x)[0, :, channel].cpu().numpy()
            history = windows.inverse_transform(x) if self.args.inverse else x
            pred, true = (array[number, :, scored] for array in saved)
            naive = naive_lines(seen, len(true), self.season_length)
            times = self.times(windows, number)
            plot_forecast(
                self.folders.plots / f"{number}.png",
                times,
                history[0, :, channel].cpu().numpy(),
                true,
                {self.args.model: pred}
                | {with_mse(name, values, true): values for name, values in naive.items()},
                window_title(
                    self.tested_file.name,
                    windows.columns[channel],
                    f"test window {number} of {len(windows)}",
                    times[-len(true) :],
                    f"{self.args.model}: {errors_of(pred, true)}",
                ),
                f"{windows.columns[channel]} ({unit})",
            )

    def predict(self) -> None:
        """Forecast from the end of the file, in original units, and write `forecast.csv`."""
        write_forecast(self)

    def _saved_scaler(self) -> "StandardScaler | None":
        """Return the scaler in the checkpoint if it is for these columns."""
        notes = self.checkpoint.metadata if self.checkpoint else {}
        known = "scaler" in notes and notes.get("columns") == self.source.columns
        if self.args.zero_shot or not known:
            return None
        from sklearn.preprocessing import StandardScaler  # takes a second to import

        scaler = StandardScaler()
        scaler.mean_ = np.array(notes["scaler"]["mean"])
        scaler.scale_ = np.array(notes["scaler"]["scale"])
        scaler.n_features_in_ = len(scaler.mean_)
        return scaler

    def checkpoint_notes(self) -> dict:
        scaler = self.train_set.scaler
        return {
            "columns": self.train_set.columns,
            "scaler": {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
        }
