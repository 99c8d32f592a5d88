"""Imputation: windows of a CSV with random entries missing."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from data_provider.checks import fill_gaps
from data_provider.windows import WindowDataset
from exp.series import PLOTTED_WINDOWS, ExpSeries
from utils.batch import Batch
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import NpyWriter
from utils.metrics import ErrorSums, PlacedErrorSums
from utils.plots import errors_of, evenly, plot_imputation, with_mse

MASK_SEED = 2021  # of validation and test, independent of --seed: all runs score the same entries


def masked(batch: Batch, mask: Tensor) -> Batch:
    """Mask entries of a batch by a mask of its shape, 1 where observed; its truth are the whole
    windows."""
    return replace(batch, x=batch.x * mask, y=batch.x, mask=mask)


class ExpImputation(ExpSeries):
    """Reconstruct windows of `seq_len` steps; only masked entries are scored."""

    arrays = (*ExpSeries.arrays, "mask")

    def resolve_args(self, args: Configuration) -> Configuration:
        """Set horizon and label length to 0, and refuse `--features MS`."""
        if args.features == "MS":
            raise UserError("--features MS is for forecasting: use M or S")
        return args.replace(pred_len=0, label_len=0)

    def prepare_data(self) -> None:
        self.splits = splits = self.read()
        self.note_files(splits.panel)
        self.test_set = splits.split("test").to(self.device)
        if self.args.is_training:
            self.train_set = splits.split("train").to(self.device)
            self.val_set = splits.split("val").to(self.device)
            splits.describe(self.train_set, self.val_set, self.test_set)
        self.announce_arrays()

    def training_batch(self, index: Tensor) -> Batch:
        batch = self.windows_batch(self.train_set, index)
        return masked(batch, (torch.rand_like(batch.x) > self.args.mask_rate).float())

    def trivial_scores(self) -> dict[str, float]:
        return {"the mean of the training rows": self.val_set.values.square().mean().item()}

    def score(self, windows: WindowDataset) -> float:
        errors = ErrorSums()
        for _, pred, true, mask in self._imputations(windows):
            errors.add(pred, true, mask == 0)
        return errors.metrics()["mse"]

    def _masked_batch(self, windows: WindowDataset, index: Tensor) -> Batch:
        """Make a batch whose masks depend on the indices of the windows alone, so that all batch
        sizes and runs score the same entries."""
        batch = self.windows_batch(windows, index)
        masks = [
            np.random.Generator(np.random.Philox(key=[MASK_SEED, number])).random(batch.x.shape[1:])
            for number in index.tolist()
        ]
        mask = torch.tensor(np.stack(masks) > self.args.mask_rate, dtype=torch.float32)
        return masked(batch, mask.to(self.device))

    def _imputations(
        self, windows: WindowDataset, label: str = "scoring"
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield `(index, pred, true, mask)` over all windows, in order."""
        for index in self.evaluation.batches(windows, label):
            batch = self._masked_batch(windows, index)
            yield index, self.evaluation.predict(batch), batch.y, batch.mask

    def test(self) -> dict[str, float]:
        """Impute every test window once; arrays are written batch by batch."""
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        windows, errors = self.test_set, PlacedErrorSums()
        shown = evenly(len(windows), PLOTTED_WINDOWS)
        with self.folders.arrays(self.original_units, shown, **self.array_shapes()) as files:
            for index, pred, true, mask in self._imputations(windows, "testing"):
                pred, true = (self.units(windows, y, index) for y in (pred, true))
                errors.add(pred, true, mask == 0)
                files["pred"].write(pred)
                files["true"].write(true)
                files["mask"].write(mask)
        tested = {
            "data": str(self.panel.source),
            "windows": len(windows),
            "mask_rate": self.args.mask_rate,
            "seconds": time.perf_counter() - start,
        }
        self._plot(windows, files)
        return self.report(errors, windows.columns, tested)

    def _plot(self, windows: WindowDataset, files: Mapping[str, NpyWriter]) -> None:
        if not self.folders.writes:
            return
        channel = self.shown_channel(windows)
        for number in sorted(files["pred"].kept):
            kept = (files[name].kept[number] for name in ("true", "pred", "mask"))
            true, pred, mask = (rows[:, channel] for rows in kept)
            missing, times = mask == 0, self.times(windows, number)
            linear = fill_gaps(np.where(missing, np.nan, true)[:, None], "linear")[:, 0]
            errors = f"{self.args.model}: {errors_of(pred[missing], true[missing])}"
            share = f", {missing.mean():.1%} masked"
            linear_name = with_mse("linear interpolation", linear[missing], true[missing])
            plot_imputation(
                self.folders.plots / f"{number}.png",
                times,
                true,
                {self.args.model: pred, linear_name: linear},
                ~missing,
                self.title(windows, number, times, errors, share),
                f"{windows.name(number, channel)} ({self.unit})",
            )

    def checkpoint_notes(self) -> dict:
        return {
            "columns": self.panel.channels,
            "mode": self.panel.mode,
            "reading": self.panel.notes(),
        }
