"""Long-term forecasting, of a table in a file or of series in memory."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_provider.covariates import with_future
from data_provider.panel import Panel, Table, series_name
from data_provider.splits import (
    NoWindowError,
    Scaler,
    Splits,
    chosen_series,
    padded,
    target_args,
    windows_of,
)
from data_provider.windows import WindowDataset
from exp.forecasts import Forecast, intervals_of, require_forecast, write_table
from exp.intervals import (
    INTERVALS,
    Intervals,
    IntervalTest,
    check_levels,
    held_out_coverage,
    thinned,
)
from exp.series import PLOTTED_WINDOWS, ExpSeries
from utils.bars import progress_bar
from utils.batch import Batch
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import NpyWriter
from utils.metrics import ErrorSums, PlacedErrorSums
from utils.naive import LAST_VALUE, naive_lines, print_naive
from utils.option_table import COVARIATES
from utils.plots import ForecastPanel, errors_of, evenly, plot_window, save, with_mse

JUDGED = ("mse", "mae")  # scores by which a model is compared with naive forecasts


@dataclass(frozen=True)
class InMemory:
    """Series in memory, which take the place of the file that the options name; there is no test.

    Attributes:
        panel: to train on; None leaves a trained model, which forecasts other panels.
        held_out: last rows of each series for validation; 0 trains on all for `--train_epochs`;
            None takes those of `--split`, or else a fifth, at least the horizon.
        pad: whether a short series is continued into its past by its first value.
    """

    panel: Panel | None = None
    held_out: int | None = None
    pad: bool = False


class ExpLongTermForecasting(ExpSeries):
    """Train on a table; test on its test split or, zero-shot, on that of another table; forecast.

    Args:
        memory: series that take the place of files. The other arguments are those of `ExpBasic`.

    Attributes:
        scaler: of forecasts. series_notes: what a checkpoint tells of the series of its training.
    """

    calibration_set: WindowDataset | None = None  # of prediction intervals
    intervals: Intervals | None = None
    scaler: Scaler

    def __init__(self, *arguments: object, memory: InMemory | None = None, **more: object):
        self.memory = memory
        super().__init__(*arguments, **more)

    def resolve_args(self, args: Configuration) -> Configuration:
        """Refuse a horizon of 0."""
        if args.pred_len < 1:
            raise UserError("--pred_len 0: a forecast needs at least one step")
        return args

    def prepare_data(self) -> None:
        self._check_covariates()
        if self.memory is None:
            self._prepare_files()
        elif self.memory.panel is None:
            self._prepare_forecasts()
        else:
            self._prepare_memory(self.memory.panel)

    def _prepare_files(self) -> None:
        args = self.args
        tested = source = self.read() if args.is_training or not args.zero_shot else None
        if args.zero_shot:
            tested = self.read(source.panel.channels if source else None, **target_args(args))
        self.splits, self.target = tested, tested.target
        self.note_files(source and source.panel, tested.panel)
        self.scaler = self._saved_scaler() or tested.scaler
        self.series_notes = self._notes_of(source) if args.is_training else self._saved_notes()
        if args.level:
            try:
                self.calibration_set = tested.split("val").to(self.device)
            except NoWindowError:  # a forecast may take the intervals beside the checkpoint
                if args.is_training or not args.do_predict:
                    raise
        if args.do_predict:
            if args.future:
                self.panel = with_future(self.panel, args.future, args.pred_len)
            require_forecast(self.panel, args)
        if args.is_training:
            self.train_set = source.split("train").to(self.device)
            self.val_set = source.split("val").to(self.device)
        try:
            self.test_set = tested.split("test").to(self.device)
        except NoWindowError as error:
            if args.is_training or not args.do_predict:
                raise
            print(f"forecast only: {error}")
            return
        if args.is_training:
            source.describe(self.train_set, self.val_set, self.test_set)
            self.announce_arrays()
            if args.zero_shot:
                print(f"zero-shot: tested on {self.panel.source}")
            return
        print(f"test errors are standardised by the training rows of {self.panel.source}")
        self.announce_arrays()
        if self.series_notes.get("refit"):
            print(
                f"warning: {self.checkpoint.path} was trained on all rows of its file: errors "
                "on them are not those of a forecast",
                file=sys.stderr,
            )

    def _check_covariates(self) -> None:
        notes = self.checkpoint.metadata if self.checkpoint else {"arguments": vars(self.args)}
        trained = notes.get("arguments", {})
        for name in COVARIATES:
            now, before = (options.get(name) or None for options in (vars(self.args), trained))
            if now != before:
                raise UserError(
                    f"--{name} {now}: {self.checkpoint.path} was trained with --{name} {before}: "
                    "give the same"
                )

    def _prepare_memory(self, panel: Panel) -> None:
        args, memory = self.args, self.memory
        panel = panel.only(chosen_series(panel, args))
        if memory.pad:
            ahead = args.pred_len * (2 if memory.held_out is None else 1)  # to validate on, too
            panel = panel.with_tables(lambda table: padded(table, args.seq_len + ahead))
        train_rows = None
        if memory.held_out is not None or not args.split:
            train_rows = {len(t.dates): self._training_rows(panel, t) for t in panel.tables}
        splits = Splits(panel, args, train_rows)
        self.splits, self.target, self.scaler = splits, splits.target, splits.scaler
        self.series_notes = self._notes_of(splits)
        self.note_files(panel)
        self.train_set = splits.split("train").to(self.device)
        if memory.held_out != 0:
            self.val_set = splits.split("val").to(self.device)
        print(
            f"{len(panel.names)} series, {panel.mode}; windows: {len(self.train_set):,} train, "
            f"{len(self.val_set or ()):,} validation"
        )

    def _training_rows(self, panel: Panel, table: Table) -> int:
        """Choose how many rows of a table are trained on; the others are for validation."""
        args, rows, asked, pad = self.args, len(table.dates), self.memory.held_out, self.memory.pad
        window = args.seq_len + args.pred_len
        held_out = max(args.pred_len, rows // 5) if asked is None else asked
        if rows - held_out < window and pad and asked is None:
            held_out = min(held_out, args.pred_len)
        if held_out and held_out < args.pred_len:
            raise UserError(f"val_size {held_out}: it has to be 0, or at least h={args.pred_len}")
        if rows - held_out < window and not pad:
            raise UserError(
                f"{panel.place(table)}: too short to train on: it has {rows} rows, and input_size="
                f"{args.seq_len} + h={args.pred_len} + {held_out} for validation are needed; "
                "choose a smaller input_size or val_size, leave it out, or give "
                "start_padding_enabled=True"
            )
        return int(max(rows - held_out, window))

    def _prepare_forecasts(self) -> None:
        notes, args = self.checkpoint.metadata, self.args
        self.data, self.filled, self.series_notes = {}, {}, self._saved_notes()
        self.n_channels = len(notes["columns"])
        self.season_length = self.args.season_length or notes.get("season_length", 0)
        if args.features == "MS" and args.protocol == "sound":
            self.target = notes["columns"].index(args.target)
        self.scaler = self._saved_scaler()

    @property
    def mode(self) -> str:
        return self.series_notes.get("mode", "channels")

    def release(self) -> None:
        """Let go of the rows, the optimisers and the states of a training that has ended."""
        names = "train_set val_set memory splits panel step state"
        for name in names.split():
            self.__dict__.pop(name, None)

    def training_batch(self, index: Tensor) -> Batch:
        return self.windows_batch(self.train_set, index)

    def score(self, windows: WindowDataset) -> float:
        return self._judge(windows)["mse"]

    def batch_score(self, index: Tensor) -> tuple[float, float]:
        batch, scored = self.windows_batch(self.val_set, index), self.val_set.scored
        errors = scored(self.evaluation.predict_here(batch)) - scored(batch.y)
        return errors.square().mean().item(), 1

    def trivial_scores(self) -> dict[str, float]:
        windows = self.val_set
        last = self.naive_errors(windows, in_units=False)[LAST_VALUE]["mse"]
        mean = windows.scored(windows.values[None]).square().mean().item()
        return {"the last value": last, "the mean of the training rows": mean}

    def _judge(self, windows: WindowDataset) -> dict[str, float]:
        errors = ErrorSums()
        for _, _, pred, true in self.forecasts(windows, self.evaluation.batches(windows)):
            errors.add(pred, true)
        return {name: errors.metrics()[name] for name in JUDGED}

    def forecasts(
        self, windows: WindowDataset, indices: Iterable[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield each of `indices`, with look-back, forecast and truth of its scored channels."""
        for index in indices:
            batch = self.windows_batch(windows, index)
            forecast = self.evaluation.predict(batch)
            yield index, *(windows.scored(values) for values in (batch.x, forecast, batch.y))

    def calibration(self, windows: WindowDataset) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield look-back, forecast and truth of the windows that intervals come from."""
        chosen = thinned(len(windows), windows.pred_len * len(windows.scored_columns))
        numbers = torch.tensor(chosen, device=self.device).split(self.evaluation.windows)
        with progress_bar("interval calibration", len(numbers)) as bar:
            for _, *batch in self.forecasts(windows, numbers):
                yield tuple(batch)
                bar.update()

    def test(self) -> dict[str, float]:
        """Test on every window; predictions are written batch by batch."""
        windows = self.test_set
        if windows is None:
            return {}
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        errors, intervals = PlacedErrorSums(), None
        if self.calibration_set is not None:
            calibration, unit = self.calibration(self.calibration_set), self.calibration_set.unit
            units = partial(self.units, windows)
            intervals = IntervalTest(self.args.level, calibration, unit, windows.pred_len, units)
        shapes, shown = self.array_shapes(), evenly(len(windows), PLOTTED_WINDOWS)
        with self.folders.arrays(self.original_units, shown, **shapes) as files:
            batches = self.evaluation.batches(windows, "testing")
            for index, x, pred, true in self.forecasts(windows, batches):
                if intervals is not None:
                    intervals.add(pred, x, true, index)
                pred, true = (self.units(windows, y, index) for y in (pred, true))
                errors.add(pred, true)
                files["pred"].write(pred)
                files["true"].write(true)
        tested = {
            "data": str(self.panel.source),
            "windows": len(windows),
            "channels": len(windows.scored_columns),
            "seconds": time.perf_counter() - start,
        }
        naive = self.naive_errors(windows)
        self._plot(windows, files)
        more = {} if intervals is None else {"intervals": self.save_intervals(intervals)}
        metrics = self.report(errors, windows.scored_columns, tested, baselines=naive, **more)
        print_naive(self.args.model, {name: metrics[name] for name in JUDGED}, naive)
        return metrics

    def validate(self) -> Intervals | None:
        """Compare the trained model with naive forecasts on the validation windows, standardised,
        and note the errors; return the prediction intervals from them, None without windows."""
        windows = self.val_set
        if windows is None:
            return None
        scores, naive = self._judge(windows), self.naive_errors(windows, False)
        print(f"validation: mse {scores['mse']:.4g}, mae {scores['mae']:.4g}")
        print_naive(self.args.model, scores, naive)
        on = f"{len(windows):,} validation windows, which chose the epoch, standardised"
        self.series_notes["scores"] = {"on": on, "scores": {self.args.model: scores} | naive}
        intervals, errors = Intervals.calibrate(self.calibration(windows), windows.unit)
        if covered := held_out_coverage(errors):
            on = "the later half of the validation windows, intervals from the earlier half"
            self.series_notes["coverage"] = {"on": on, "levels": covered}
        return intervals

    def save_intervals(self, test: IntervalTest) -> dict[str, object]:
        """Write the intervals that were tested beside the results, and those of later forecasts
        beside the checkpoint; print and return their scores."""
        self.intervals = test.recalibration.intervals()
        if self.folders.writes:
            test.intervals.save(self.folders.results / INTERVALS)
            if self.args.is_training and self.objective.trained and not self.args.zero_shot:
                self.intervals.save(self.folders.best_checkpoint.with_name(INTERVALS))
        print("\n".join(test.lines()))
        return test.results() | {"original_units": self.original_units}

    def _plot(self, windows: WindowDataset, files: Mapping[str, NpyWriter]) -> None:
        if not self.folders.writes:
            return
        channel = self.shown_channel(windows)
        scored = 0 if windows.target is not None else channel
        mixed = self.args.inverse and self.published
        unit = "history in original units, the rest standardised" if mixed else self.unit
        for number in sorted(files["pred"].kept):
            index = self.one(number)
            x, _ = windows.batch(index)
            seen = self.units(windows, x, index)[0, :, channel].cpu().numpy()
            history = windows.inverse_transform(x, index) if self.args.inverse else x
            pred, true = (files[name].kept[number][:, scored] for name in ("pred", "true"))
            naive = naive_lines(seen, len(true), self.season_length)
            errors = f"{self.args.model}: {errors_of(pred, true)}"
            times = self.times(windows, number)
            panel = ForecastPanel(
                self.title(windows, number, times[-len(true) :], errors),
                history[0, :, channel].cpu().numpy(),
                true,
                {self.args.model: pred}
                | {with_mse(name, values, true): values for name, values in naive.items()},
            )
            ylabel = f"{windows.name(number, channel)} ({unit})"
            plot_window(self.folders.plots / f"{number}.png", times, [panel], ylabel)

    # Forecasts

    def predict(self) -> None:
        """Forecast from the end of the table, with the intervals of `--level`, in original units:
        `forecast.csv` and its picture."""
        args, panel = self.args, self.panel
        levels, intervals = args.level or [], self._forecast_intervals()
        forecast = self.forecast(panel).with_intervals(levels, intervals)
        table = forecast.table(args.pred_len)
        path = self.folders.results / "forecast.csv"
        if self.folders.writes:
            write_table(path, table, panel)
            title = f"{self.tested_file.name}: forecast by {args.model}"
            figure = forecast.figure(args.pred_len, title)
            save(figure, self.folders.plots / "forecast.png")
        if self.test_set is None and not args.is_training:
            record = self.record({}, forecast_from=str(panel.source), filled=self.filled)
            self.folders.save_record(record)
        stamps = table[panel.reading.time_col]
        first, last = panel.clock.written(pd.Index([stamps.min(), stamps.max()]))
        print(f"forecast of {first} to {last} in {path}")

    def _forecast_intervals(self) -> Intervals | None:
        """Return the intervals of `--level`: of the test, or else of the checkpoint."""
        if not self.args.level:
            return None
        found = self.intervals or (self.checkpoint and intervals_of(self.checkpoint))
        if found is None:
            raise UserError(
                f"--level: {self.panel.source} has too few rows for a validation split, and there "
                "are no intervals beside the checkpoint: leave --level out, or train with it"
            )
        check_levels(self.args.level, found)
        return found

    def forecast(self, panel: Panel) -> Forecast:
        """Forecast what follows the tables of a panel, which has the channels of the training in
        their order; see `require_forecast`."""
        args, target = self.args, self.target
        require_forecast(panel, args)
        looks = [(table, slice(-args.seq_len, None)) for table in panel.tables]
        windows = windows_of(panel, looks, args, self.scaler, target, ahead=args.pred_len)
        batches = self.evaluation.batches(windows.to(self.device), "forecasting")
        found = [(x, pred) for _, x, pred, _ in self.forecasts(windows, batches)]
        x, pred = (torch.cat(values) for values in zip(*found, strict=True))
        if target is not None:
            panel = panel.only(panel.tables[0].ids[target : target + 1])
        return Forecast(args.model, panel, windows, x, pred)

    def recalibrate(self, panel: Panel) -> Intervals:
        """Compute prediction intervals from all windows of the rows of a panel."""
        parts = [(table, slice(None)) for table in panel.tables]
        windows = windows_of(panel, parts, self.args, self.scaler, self.target)
        if len(windows) == 0:
            raise UserError(
                f"recalibrate=True: {panel.place(panel.tables[0])}: too few rows for a window of "
                f"{self.args.seq_len + self.args.pred_len}"
            )
        return Intervals.calibrate(self.calibration(windows.to(self.device)), windows.unit)[0]

    def _saved_scaler(self) -> Scaler | None:
        """Return the scaler in the checkpoint; None in a zero-shot test, or if there is none."""
        notes = self.checkpoint.metadata if self.checkpoint else {}
        if "scaler" not in notes or self.args.zero_shot:
            return None
        mean, scale = (np.array(notes["scaler"][name]) for name in ("mean", "scale"))
        series = notes.get("series", notes["columns"])
        return Scaler(mean, scale, {series_name(name): i for i, name in enumerate(series)})

    def checkpoint_notes(self) -> dict:
        return self.series_notes

    def _saved_notes(self) -> dict:
        notes = self.checkpoint.metadata if self.checkpoint else {}
        names = "columns series mode season_length reading scaler about refit scores coverage"
        return {"about": ""} | {name: notes[name] for name in names.split() if name in notes}

    def _notes_of(self, splits: Splits) -> dict:
        panel, scaler = splits.panel, splits.scaler
        first = min(table.dates[0] for table in panel.tables)
        last = max(table.dates[-1] for table in panel.tables)
        refit = {"refit": True} if self.memory and self.memory.held_out == 0 else {}
        return {
            "columns": panel.channels,
            "series": list(scaler.number),
            "mode": panel.mode,
            "season_length": panel.season_length,
            "reading": panel.notes(),
            "scaler": {"mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()},
            "about": f"{len(panel.names)} series ({panel.mode}), {first} to {last}.",
            **refit,
        }
