"""Training and forecasting on series in memory, by the loop of all experiments."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_provider.checks import shortened
from data_provider.frames import Panel, future_timestamps
from data_provider.series_table import SeriesTable
from data_provider.timestamps import season_length
from data_provider.windows import WindowDataset
from exp.checkpoint import Checkpoint
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from exp.intervals import Intervals
from models.interface import DataShape
from utils.batch import Batch
from utils.errors import UserError
from utils.timefeatures import time_features

EXTRA = "forecaster."  # starts the names of tensors in a file that are not the model's


@dataclass
class Scaling:
    """Mean and standard deviation of each series over its training rows.

    Attributes:
        mean, std: `[series]`. number: of a series, by its name.
    """

    mean: np.ndarray
    std: np.ndarray
    number: dict[object, int]

    @classmethod
    def fit(cls, panel: Panel, rows: Sequence[int]) -> "Scaling":
        """Compute those of a panel; `rows`: training rows of each table, the first ones."""
        means, stds = [], []
        for table, stop in zip(panel.tables, rows, strict=True):
            mean, std = _moments(table.values[:stop])
            means.append(mean)
            stds.append(std)
        names = [name for ids in panel.ids for name in ids]
        numbers = {name: number for number, name in enumerate(names)}
        return cls(np.concatenate(means), np.concatenate(stds), numbers)

    def of(self, table: SeriesTable, names: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of the series of a table, `[channels]`; those of a series that
        training has not seen are of the rows at hand."""
        mean, std = _moments(table.values)
        for channel, name in enumerate(names):
            if name in self.number:
                mean[channel] = self.mean[self.number[name]]
                std[channel] = self.std[self.number[name]]
        return mean, std


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of columns, 1 where they are constant."""
    from sklearn.preprocessing import StandardScaler  # slow to import

    scaler = StandardScaler().fit(values)
    return scaler.mean_, scaler.scale_


def pad(panel: Panel, rows: int) -> Panel:
    """Continue tables that are shorter than `rows` into their past; see `padded`."""
    return replace(panel, tables=[padded(table, rows) for table in panel.tables])


def padded(table: SeriesTable, rows: int) -> SeriesTable:
    """Repeat the first row of a table before it until it has `rows` rows."""
    missing = rows - len(table.values)
    if missing <= 0:
        return table
    step = table.dates[1] - table.dates[0] if len(table.dates) > 1 else pd.Timedelta("1h")
    before = table.dates[0] - pd.TimedeltaIndex([step] * missing) * np.arange(missing, 0, -1)
    return replace(
        table,
        dates=before.append(table.dates),
        values=np.concatenate([np.repeat(table.values[:1], missing, axis=0), table.values]),
    )


class ExpPanel(ExpLongTermForecasting):
    """A forecasting model of the series of a panel: their tables are the channels of one, or are
    pooled, a window of one series being a sample of its own.

    Args:
        args: of `run.py`. root: folder of what training writes.
        panel: to train on; None takes a trained model.
        saved: that model, of the file that `--checkpoint` names.
        val_size: last rows of each series for validation; 0 trains on all for `--train_epochs`.
        pad: whether a short series is continued into its past by its first value.
    """

    def __init__(
        self,
        args: Namespace,
        root: Path,
        panel: Panel | None = None,
        val_size: int | None = None,
        pad: bool = False,
        saved: Checkpoint | None = None,
    ):
        self.root, self.panel, self.val_size, self.pad = root, panel, val_size, pad
        self.saved = saved
        super().__init__(args)
        self.panel = None  # may be large

    def prepare_data(self) -> None:
        """Cut the windows of training and validation; a forecast brings its own."""
        self.data = {}
        if self.panel is None:
            self._read_notes(self.saved)
            return
        panel, args = self.panel, self.args
        self.mode = panel.mode
        window = args.seq_len + args.pred_len
        tables = pad(panel, window).tables if self.pad else panel.tables
        ends = [self._training_rows(table) for table in tables]
        self.scaling = Scaling.fit(panel, ends)
        self.n_channels, self.season_length = len(tables[0].columns), season_length(tables[0])
        self.train_set = self._windows(tables, [range(end) for end in ends]).to(self.device)
        if self.val_size != 0:
            starts = [max(0, end - args.seq_len) for end in ends]
            rows = [range(s, len(t.values)) for s, t in zip(starts, tables, strict=True)]
            self.val_set = self._windows(tables, rows).to(self.device)
        validation = len(self.val_set) if self.val_set is not None else 0
        first, last = min(t.dates[0] for t in tables), max(t.dates[-1] for t in tables)
        self.about = (
            f"{len(panel.names)} series ({panel.mode}), {sum(ends):,} training rows, "
            f"{first} to {last}."
        )
        print(
            f"{len(panel.names)} series, {panel.mode}; windows: {len(self.train_set):,} train, "
            f"{validation:,} validation"
        )

    def _read_notes(self, checkpoint: Checkpoint) -> None:
        """Take from a checkpoint what the series of a training say; it may be of `run.py`."""
        notes, state = checkpoint.metadata, checkpoint.state
        self.n_channels = len(notes["columns"])
        self.mode, self.season_length = notes.get("mode", "channels"), notes.get("season_length", 0)
        if EXTRA + "mean" in state:
            mean, std = state[EXTRA + "mean"].numpy(), state[EXTRA + "std"].numpy()
        else:
            mean, std = (np.array(notes["scaler"][name]) for name in ("mean", "scale"))
        self.about = notes.get("data", f"{', '.join(map(str, notes['columns']))}.")
        names = notes.get("series", notes["columns"])
        self.scaling = Scaling(mean, std, {name: number for number, name in enumerate(names)})

    def description(self) -> dict:
        """Describe model and training, for the notes of a file."""
        best = self.progress.best
        if best is None and self.saved is not None:
            best = self.saved.metadata.get("epoch")
        return {
            "arguments": vars(self.args),
            **self.objective.notes,
            "epoch": asdict(best) if is_dataclass(best) else best or {},
            "columns": [str(number) for number in range(self.n_channels)],
            "series": list(self.scaling.number),
            "mode": self.mode,
            "season_length": self.season_length,
            "data": self.about,
        }

    def forget_training(self) -> None:
        """Let go of the rows, the optimisers and the folders of a training that has ended."""
        self.train_set = self.val_set = None
        for name in ("optimisers", "scheduler", "step", "state", "order"):
            self.__dict__.pop(name, None)  # models that are not trained have none

    def _training_rows(self, table: SeriesTable) -> int:
        """Choose how many rows of a table are trained on.

        Raises:
            UserError: they, or the validation rows, have no window.
        """
        args, rows = self.args, len(table.values)
        window = args.seq_len + args.pred_len
        held_out = max(args.pred_len, rows // 5) if self.val_size is None else self.val_size
        if rows - held_out < window and self.pad and self.val_size is None:
            held_out = min(held_out, args.pred_len)
        if held_out and held_out < args.pred_len:
            raise UserError(f"val_size {held_out}: it has to be 0, or at least h={args.pred_len}")
        if rows - held_out < window and not self.pad:
            raise UserError(
                f"{table.path}: too short to train on: it has {rows} rows, and input_size="
                f"{args.seq_len} + h={args.pred_len} + {held_out} for validation are needed; "
                "choose a smaller input_size or val_size, leave it out, or give "
                "start_padding_enabled=True"
            )
        return max(rows - held_out, window)

    def _windows(self, tables: Sequence[SeriesTable], rows: Sequence[range]) -> WindowDataset:
        """Put rows of tables one below the other; no window has rows of two."""
        args = self.args
        window = args.seq_len + args.pred_len
        values, dates, starts, above = [], [], [], 0
        for table, span, names in zip(tables, rows, self.panel.ids, strict=True):
            part = slice(span.start, span.stop)
            mean, std = self.scaling.of(table, names)
            values.append((table.values[part] - mean) / std)
            dates.append(table.dates[part])
            starts.append(above + np.arange(max(0, len(span) - window + 1)))
            above += len(span)
        return WindowDataset(
            np.concatenate(values),
            dates[0].append(dates[1:]),
            None,
            tables[0].columns,
            args.seq_len,
            args.label_len,
            args.pred_len,
            freq=args.freq,
            embed=args.embed,
            starts=np.concatenate(starts),
        )

    def data_shape(self) -> DataShape:
        args = self.args
        example = pd.DatetimeIndex(["2000-01-01"])
        return DataShape(
            args.seq_len,
            args.pred_len,
            self.n_channels,
            n_marks=time_features(example, args.freq, args.embed).shape[1],
            season_length=self.season_length,
        )

    def load(self, checkpoint: Checkpoint) -> None:
        """Load a model's checkpoint; tensors of the forecaster are not the model's."""
        state = {k: v for k, v in checkpoint.state.items() if not k.startswith(EXTRA)}
        super().load(replace(checkpoint, state=state))

    def checkpoint_notes(self) -> dict:
        return {}

    def calibrate(self, panel: Panel | None = None) -> Intervals:
        """Compute prediction intervals from the validation windows, or from all windows of the
        rows of a panel, whose truth it has.

        Raises:
            UserError: it has no window.
        """
        if panel is None:
            return Intervals.calibrate(self.calibration(self.val_set))
        self.panel = panel
        rows = [range(len(table.values)) for table in panel.tables]
        windows = self._windows(panel.tables, rows).to(self.device)
        self.panel = None
        if len(windows) == 0:
            raise UserError(
                f"recalibrate=True: {panel.tables[0].path}: too few rows for a window of "
                f"{self.args.seq_len + self.args.pred_len}"
            )
        return Intervals.calibrate(self.calibration(windows))

    def arranged(self, panel: Panel) -> Panel:
        """Put the channels of a panel into the order of the training, or warn that they are other
        series."""
        trained = list(self.scaling.number)
        if self.mode != "channels" or panel.ids[0] == trained:
            return panel
        (ids,), (table,) = panel.ids, panel.tables
        if set(ids) != set(trained):
            print(
                f"warning: other series than the model was trained on: {shortened(ids)}, not "
                f"{shortened(trained)}",
                file=sys.stderr,
            )
            return panel
        order = [ids.index(name) for name in trained]
        columns = [table.columns[number] for number in order]
        table = replace(table, columns=columns, values=table.values[:, order])
        return replace(panel, tables=[table], ids=[trained])

    def forecast(self, panel: Panel) -> tuple[Tensor, Tensor]:
        """Forecast what follows the tables of a panel, which have a look-back at least.

        Returns:
            Look-backs `[tables, seq_len, channels]` and forecasts `[tables, pred_len, channels]`,
            both scaled, see `unscaled`.
        """
        args = self.args
        looks, marks = [], []
        for number, (table, names) in enumerate(zip(panel.tables, panel.ids, strict=True)):
            mean, std = self.scaling.of(table, names)
            looks.append((table.values[-args.seq_len :] - mean) / std)
            if self.objective.uses_marks:
                future = future_timestamps(panel, number, args.pred_len)
                marks.append(self._marks(table.dates[-args.seq_len :], future))
        x = torch.tensor(np.stack(looks), dtype=torch.float32, device=self.device)
        forecasts = []
        for start, stop in pairwise([*range(0, len(x), self.evaluation.windows), len(x)]):
            batch = Batch(x[start:stop])
            if marks:
                both = torch.stack(marks[start:stop]).to(self.device)
                label = max(args.seq_len - args.label_len, 0)
                batch = replace(batch, x_mark=both[:, : args.seq_len], y_mark=both[:, label:])
            forecasts.append(self.evaluation.predict(batch))
        return x, torch.cat(forecasts)

    def _marks(self, past: pd.DatetimeIndex, future: pd.Index) -> Tensor:
        """Time marks of a look-back and its horizon, `[seq_len + pred_len, marks]`."""
        if not isinstance(future, pd.DatetimeIndex):
            future = pd.to_datetime(future, unit="s")
        dates = past.append(future.tz_localize(None) if future.tz else future)
        marks = time_features(dates, self.args.freq, self.args.embed)
        return torch.tensor(marks, dtype=torch.float32)

    def unscaled(self, panel: Panel, values: Tensor) -> np.ndarray:
        """Convert forecasts or bounds `[tables, steps, channels]` to the units of the series."""
        scalings = [
            self.scaling.of(table, names)
            for table, names in zip(panel.tables, panel.ids, strict=True)
        ]
        mean, std = (np.stack(numbers)[:, None] for numbers in zip(*scalings, strict=True))
        return values.cpu().numpy().astype(np.float64) * std + mean
