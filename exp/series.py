"""The common part of the tasks on sliding windows of a table."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from data_provider.checks import shortened
from data_provider.panel import Panel
from data_provider.splits import Splits, chosen_series, read_data
from data_provider.windows import WindowDataset
from exp.exp_basic import ExpBasic
from models.interface import DataShape
from utils.batch import Batch
from utils.errors import UserError
from utils.metrics import ErrorSums, PlacedErrorSums
from utils.naive import naive_forecasts, with_season
from utils.plots import period, shorten
from utils.timefeatures import CALENDAR, mark_count

PLOTTED_WINDOWS = 5


class ExpSeries(ExpBasic):
    """A task on windows of a table; its truths and predictions are `[batch, steps, channels]`.

    Attributes:
        panel, splits: of the table that is tested.
        target: the only channel that is scored; None scores all.
        arrays: names of those that the test writes.
    """

    panel: Panel
    splits: Splits
    target: int | None = None
    arrays = ("pred", "true")
    season_length = 0

    def data_shape(self) -> DataShape:
        calendar = tuple(CALENDAR) if self.args.calendar else ()
        return replace(
            super().data_shape(),
            n_marks=mark_count(self.args.freq, self.args.embed),
            season_length=self.season_length,
            target=self.target,
            past_covariates=tuple(self.args.past_covariates or ()),
            future_covariates=tuple(self.args.future_covariates or ()) + calendar,
        )

    def read(self, trained: Sequence[str] | None = None, **other: object) -> Splits:
        """Read the table that the options name, and split it.

        Args:
            trained: the channels of the training; by default those of the checkpoint.
            other: options that differ from those of the run.
        """
        args = self.args.replace(**other)
        notes = self.checkpoint.metadata if self.checkpoint else {}
        panel = read_data(args, notes.get("reading"))
        panel = panel.only(chosen_series(panel, args))
        if notes.get("mode", panel.mode) == "channels":
            panel = self.arranged(panel, trained or notes.get("columns"))
        return Splits(panel, args)

    def arranged(self, panel: Panel, trained: Sequence[str] | None) -> Panel:
        """Put channels into the order of the training, and leave out others; missing ones are an
        error, but for a zero-shot test."""
        if trained is None or panel.columns == list(trained):
            return panel
        known = dict(zip(panel.columns, panel.tables[0].ids, strict=True))
        missing = [name for name in trained if name not in known]
        other = [name for name in panel.columns if name not in trained]
        if not missing:
            if other:
                print(f"{panel.source}: the model has no column {shortened(other)}: left out")
            return panel.only([known[name] for name in trained])
        if self.args.zero_shot:
            return panel
        found = f"; it does not know {shortened(other)}" if other else ""
        raise UserError(
            f"{panel.source}: no column {shortened(missing)}, which the model was trained on"
            f"{found}: name the columns as they were"
        )

    def note_files(self, *panels: Panel | None) -> None:
        """Store what `run.json` tells of the files (fingerprints, and how many values were
        filled), and what a test needs to know of its table, the last one."""
        panels = [panel for panel in panels if panel is not None]
        self.filled = {str(panel.source): panel.filled for panel in panels}
        self.panel = panels[-1]
        self.season_length = self.args.season_length or self.panel.season_length
        self.n_channels = len(self.panel.tables[0].ids)
        self.note_data(*(p.source for p in panels if isinstance(p.source, Path)))

    @property
    def tested_file(self) -> Path:
        """The table that is tested, or what messages call it."""
        return Path(self.panel.source)

    def windows_batch(self, windows: WindowDataset, index: Tensor) -> Batch:
        """Make the batch of the windows `index` `[batch]`, with their covariates, and with time
        marks if the model uses them."""
        x, y = windows.batch(index)
        batch = Batch(x, y, channel=windows.target, **windows.batch_covariates(index))
        if not self.objective.uses_marks:
            return batch
        x_mark, y_mark = windows.batch_marks(index)
        return replace(batch, x_mark=x_mark, y_mark=y_mark)

    def naive_errors(
        self, windows: WindowDataset, in_units: bool = True
    ) -> dict[str, dict[str, float]]:
        """Score naive forecasts of windows in the units of the results, or standardised: mse and
        mae by model."""
        sums: dict[str, ErrorSums] = defaultdict(ErrorSums)
        for index in self.evaluation.batches(windows, "naive forecasts"):
            self.stopping.check()
            x, y = (windows.scored(part) for part in windows.batch(index))
            true = self.units(windows, y, index) if in_units else y
            for name, pred in naive_forecasts(x, windows.pred_len, self.season_length).items():
                sums[name].add(self.units(windows, pred, index) if in_units else pred, true)
        errors = {name: summed.metrics() for name, summed in sums.items()}
        found = {name: {"mse": e["mse"], "mae": e["mae"]} for name, e in errors.items()}
        return with_season(found, self.season_length)

    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that the test writes, by name."""
        windows = self.test_set
        shape = (len(windows), windows.pred_len or windows.seq_len, len(windows.scored_columns))
        return dict.fromkeys(self.arrays, shape)

    def announce_arrays(self) -> None:
        """Say, before the training, how large the arrays of the test will be."""
        if not self.args.no_save_predictions:
            shapes = self.array_shapes()
            size = (8 if self.original_units else 4) * sum(map(prod, shapes.values()))
            files = ", ".join(f"{name}.npy" for name in shapes)
            print(f"the test writes {files}: {size / 1e6:,.1f} MB (--no_save_predictions: none)")

    def report(
        self, errors: PlacedErrorSums, channels: list[str], tested: dict, **more: object
    ) -> dict[str, float]:
        """Save and print the errors of a test of `channels`, which `tested` describes; `more` are
        further entries of `run.json`."""
        metrics = errors.metrics()
        scores = {name: metrics[name] for name in ("mse", "mae")}
        tested = tested | {"original_units": self.original_units}
        self.save_results(
            metrics,
            scores,
            test=tested,
            errors={"by_step": errors.by_step(), "by_channel": errors.by_channel(channels)},
            filled=self.filled,
            **more,
            units={"mape": "%", "mspe": "fraction"},
        )
        if self.original_units:
            print("errors are in original units")
        elif self.args.inverse:
            print("as published, --inverse leaves errors and forecasts standardised")
        return metrics

    @property
    def original_units(self) -> bool:
        """Whether results are in original units: with `--inverse`, but not in the published way."""
        return self.args.inverse and not self.published

    def units(self, windows: WindowDataset, y: Tensor, index: Tensor) -> Tensor:
        """Convert values of the windows `index` to the units of the results."""
        return windows.inverse_transform(y, index) if self.original_units else y

    @property
    def unit(self) -> str:
        """What values are in, for the axes of figures."""
        return "original units" if self.original_units else "standardised"

    def times(self, windows: WindowDataset, number: int) -> pd.Index:
        """Return the timestamps of a window's rows `[seq_len + pred_len]`; numbers where the table
        has numbers."""
        first = int(windows.starts[number])
        dates = windows.dates[first : first + windows.seq_len + windows.pred_len]
        return self.panel.clock.stamps(dates) if self.panel.clock.counts_steps else dates

    def shown_channel(self, windows: WindowDataset) -> int:
        """Return the plotted channel: the target, or the last one."""
        if self.args.target in windows.columns:
            return windows.columns.index(self.args.target)
        return windows.n_channels - 1

    def title(
        self, windows: WindowDataset, number: int, times: pd.Index, errors: str, more: str = ""
    ) -> str:
        """Write the title of the figure of a test window, with the `times` of its truth."""
        names = self.tested_file.name, windows.name(number, self.shown_channel(windows))
        what = f"test window {number} of {len(windows)}{more}"
        return f"{' · '.join([*shorten(names, 40), what])}\n{period(times)} · {errors}"

    def one(self, number: int) -> Tensor:
        """Return the index of a single window as a tensor `[1]`."""
        return torch.tensor([number], device=self.device)
