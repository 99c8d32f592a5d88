"""What the tasks on sliding windows of a CSV have in common."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from data_provider.csv_source import SeriesSource
from data_provider.timestamps import season_length
from data_provider.windows import WindowDataset
from exp.exp_basic import ExpBasic
from exp.record import note_data, save_results
from models.interface import DataShape
from utils.batch import Batch
from utils.metrics import PlacedErrorSums

PLOTTED_WINDOWS = 5


class ExpSeries(ExpBasic):
    """A task on windows of a CSV; its truths and predictions are `[batch, steps, channels]`.

    Attributes:
        tail: the last look-back of the file, to forecast from; None without `--do_predict`.
    """

    tail: WindowDataset | None = None

    def data_shape(self) -> DataShape:
        sets = (self.test_set, self.train_set, self.tail)
        windows = next(windows for windows in sets if windows is not None)
        return replace(
            super().data_shape(),
            n_marks=windows.n_marks,
            season_length=self.season_length,
            target=windows.target,
        )

    def windows_batch(self, windows: WindowDataset, index: Tensor) -> Batch:
        """Make the batch of the windows `index` `[batch]`, with time marks if the model uses
        them."""
        x, y = windows.batch(index)
        return self.with_marks(Batch(x, y, channel=windows.target), windows, index)

    def with_marks(self, batch: Batch, windows: WindowDataset, index: Tensor) -> Batch:
        """Add the time marks of the windows `index` `[batch]` if the model uses them."""
        if not self.objective.uses_marks:
            return batch
        x_mark, y_mark = windows.batch_marks(index)
        return replace(batch, x_mark=x_mark, y_mark=y_mark)

    def match_columns(self, source: SeriesSource, trained: Sequence[str] | None = None) -> None:
        """Order the channels as in the training, or warn that they are different; in a zero-shot
        test they usually are.

        Args:
            source: of the test. trained: the channels of the training; by default those of the
                checkpoint.
        """
        if self.checkpoint is not None:
            trained = self.checkpoint.metadata.get("columns")
        if trained is None:
            return
        if sorted(trained) == sorted(source.columns):
            source.order_like(trained)
        elif not self.args.zero_shot:
            print(
                f"warning: {source.table.path} has other columns than the model was trained on "
                f"({', '.join(trained[:12])}{' …' if len(trained) > 12 else ''})",
                file=sys.stderr,
            )

    def note_files(self, *sources: SeriesSource | None) -> None:
        """Store what `run.json` tells of the files (fingerprints, and how many values were
        filled), and the length of a season."""
        tables = [source.table for source in sources if source is not None]
        self.filled = {str(table.path): table.filled for table in tables}
        tested = tables[-1]
        self.season_length, self.tested_file = season_length(tested), tested.path
        self.counts_steps = tested.offset is None  # its dates are whole numbers
        note_data(self, *(table.path for table in tables))

    def report(
        self, errors: PlacedErrorSums, channels: list[str], tested: dict, **more: object
    ) -> dict[str, float]:
        """Save and print the errors of a test.

        Args:
            channels: names of the scored ones. tested: describes the test in `run.json`.
            more: further entries of `run.json`.
        """
        metrics = errors.metrics()
        scores = {name: metrics[name] for name in ("mse", "mae")}
        tested = tested | {"original_units": self.original_units}
        save_results(
            self,
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

    def units(self, windows: WindowDataset, y: Tensor) -> Tensor:
        """Convert values to the units of the results."""
        return windows.inverse_transform(y) if self.original_units else y

    @property
    def unit(self) -> str:
        """What values are in, for the axes of figures."""
        return "original units" if self.original_units else "standardised"

    def times(self, windows: WindowDataset, number: int) -> pd.Index:
        """Return the timestamps of a window's rows `[seq_len + pred_len]`; numbers where the file
        has numbers."""
        dates = windows.dates[number : number + windows.seq_len + windows.pred_len]
        return pd.Index(dates.as_unit("s").asi8, name="date") if self.counts_steps else dates

    def shown_channel(self, windows: WindowDataset) -> int:
        """Return the plotted channel: the target, or the last one."""
        if self.args.target in windows.columns:
            return windows.columns.index(self.args.target)
        return windows.n_channels - 1

    def shown_windows(self, count: int) -> list[int]:
        """Return the indices of the plotted windows, spread evenly over `count`."""
        last = (count - 1) / (PLOTTED_WINDOWS - 1)
        return sorted({round(i * last) for i in range(PLOTTED_WINDOWS)})

    def one(self, number: int) -> Tensor:
        """Return the index of a single window as a tensor `[1]`."""
        return torch.tensor([number], device=self.device)
