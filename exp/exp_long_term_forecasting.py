"""Long-term forecasting: ETT, Weather, Electricity, Traffic and any CSV of that form."""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from data_provider.batches import batch_count, index_batches
from data_provider.csv_file import future_dates
from data_provider.data_factory import NoWindowError, SeriesSource, target_args
from data_provider.windows import WindowDataset
from exp.exp_basic import ExpBasic, progress
from utils.files import NpyWriter, whole_file
from utils.metrics import ErrorSums
from utils.plots import plot_forecast

PLOTTED_WINDOWS = 5


class ExpLongTermForecasting(ExpBasic):
    """Train on one CSV, test on its test split or, zero-shot, on that of another."""

    def prepare_data(self) -> None:
        args = self.args
        self.source = None
        if args.is_training or not args.zero_shot:
            self.source = SeriesSource(args)
        self.test_source = SeriesSource(target_args(args)) if args.zero_shot else self.source
        if self.checkpoint is not None:
            self.test_source.order_like(self.checkpoint.metadata.get("columns"))
        if args.is_training:
            self.train_windows = self.source.split("train").to(self.device)
            self.val_windows = self.source.split("val").to(self.device)
            self.test_windows = self.test_source.split("test").to(self.device)
            self._check_size(self.train_windows)
            return
        try:
            self.test_windows = self.test_source.split("test").to(self.device)
        except NoWindowError:
            if not args.do_predict:
                raise
            self.test_windows = None  # a new stretch of data, to forecast from

    def _check_size(self, train: WindowDataset) -> None:
        batch, count = self.args.batch_size, len(train)
        print(
            f"{self.source.table.path}: {train.n_channels} channels; windows: {count:,} train, "
            f"{len(self.val_windows):,} validation, {len(self.test_windows):,} test"
        )
        if count < batch:
            print(f"fewer training windows than --batch_size {batch}: one batch of {count}")

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        windows = self.train_windows
        for index in index_batches(
            len(windows), self.args.batch_size, self.device, self._epoch_seed(epoch), drop_last=True
        ):
            yield windows.batch(index)

    def train_batch_count(self) -> int:
        return batch_count(len(self.train_windows), self.args.batch_size, drop_last=True)

    def _epoch_seed(self, epoch: int) -> int:
        return self.seed * 100_003 + epoch

    def batch_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        output = self.model(
            x, text_branch=self.loss.needs_text_branch, features=self.loss.needs_features
        )
        scored = self.train_windows.scored
        return self.loss(output, scored(y), scored)

    def validation_score(self, epoch: int) -> float:
        if self.args.reference_validation:
            return self._reference_validation(epoch)
        return self._mse(self.val_windows)

    def test_score(self) -> float:
        return self._mse(self.test_windows)

    def _mse(self, windows: WindowDataset) -> float:
        errors = ErrorSums()
        for _, pred, true in self._predictions(windows):
            errors.add(pred, true)
        return errors.metrics()["mse"]

    @torch.no_grad()
    def _reference_validation(self, epoch: int) -> float:
        """Validate as the published code does: shuffled, the incomplete batch dropped, and the
        dropouts of GPT-2 and LoRA left on (method section 7)."""
        self.model.eval()
        self.model.gpt2.train()
        self.model.gpt2_text.train()
        windows, batch = self.val_windows, self.args.batch_size
        errors = []
        for index in index_batches(
            len(windows), batch, self.device, self._epoch_seed(-epoch), drop_last=True
        ):
            x, y = windows.batch(index)
            pred = windows.scored(self.model(x, text_branch=False).outputs_time)
            errors.append((pred - windows.scored(y)).square().mean())
        return torch.stack(errors).mean().item()

    @torch.no_grad()
    def _predict(self, windows: WindowDataset, x: Tensor) -> Tensor:
        self.model.eval()
        return windows.scored(self.model(x).outputs_time)

    def _predictions(
        self, windows: WindowDataset, label: str | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield `(index, pred, true)` over all windows, in order, in large batches."""
        size = self.eval_batch_size(windows.n_channels)
        bar = progress(label, batch_count(len(windows), size)) if label else None
        for index in index_batches(len(windows), size, self.device):
            x, y = windows.batch(index)
            yield index, self._predict(windows, x), windows.scored(y)
            if bar is not None:
                bar.update()
        if bar is not None:
            bar.close()

    def _units(self, windows: WindowDataset, y: Tensor) -> Tensor:
        """Bring values to the units that the results are in: original ones with `--inverse`."""
        return windows.inverse_transform(y) if self.args.inverse else y

    def test(self) -> dict[str, float]:
        """Test on every window; predictions go to disk batch by batch."""
        windows = self.test_windows
        if windows is None:
            print(f"{self.test_source.table.path} has no test split: forecast only")
            return {}
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        errors = ErrorSums()
        channels = 1 if windows.target is not None else windows.n_channels
        shape = (len(windows), windows.pred_len, channels)
        folder = self.folders.results
        with (
            whole_file(folder / "pred.npy") as pred_path,
            whole_file(folder / "true.npy") as true_path,
            pred_path.open("wb") as pred_file,
            true_path.open("wb") as true_file,
        ):
            pred_writer, true_writer = NpyWriter(pred_file, shape), NpyWriter(true_file, shape)
            for _, pred, true in self._predictions(windows, "testing"):
                pred, true = self._units(windows, pred), self._units(windows, true)
                errors.add(pred, true)
                pred_writer.write(pred.cpu().numpy())
                true_writer.write(true.cpu().numpy())
        seconds = time.perf_counter() - start
        metrics = errors.metrics()
        self._plot(windows)
        self.folders.save_metrics([metrics[name] for name in ErrorSums.NAMES])
        tested = {
            "data": str(self.test_source.table.path),
            "windows": len(windows),
            "channels": channels,
            "seconds": seconds,
            "original_units": self.args.inverse,
        }
        self.folders.save_record(self.record(metrics, test=tested))
        scores = {"mse": metrics["mse"], "mae": metrics["mae"]}
        self.folders.append_result(self.args.task_name, scores)
        print(
            f"mse:{metrics['mse']:.4f}, mae:{metrics['mae']:.4f} on {len(windows):,} windows "
            f"in {seconds:.1f} s; results in {folder}"
        )
        return metrics

    def _plot(self, windows: WindowDataset) -> None:
        """Draw forecasts of the target, or the last channel, at windows spread over the test."""
        column = windows.n_channels - 1
        if self.args.target in windows.columns:
            column = windows.columns.index(self.args.target)
        shown = 0 if windows.target is not None else column
        last = len(windows) - 1
        for place in sorted(
            {round(i * last / (PLOTTED_WINDOWS - 1)) for i in range(PLOTTED_WINDOWS)}
        ):
            x, y = windows.batch(torch.tensor([place], device=self.device))
            pred = self._units(windows, self._predict(windows, x))[0, :, shown]
            y = self._units(windows, windows.scored(y))[0, :, shown]
            x = (windows.inverse_transform(x) if self.args.inverse else x)[0, :, column]
            plot_forecast(
                self.folders.plots / f"{place}.png",
                x.cpu().numpy(),
                y.cpu().numpy(),
                {"CALF": pred.cpu().numpy()},
                f"{windows.columns[column]}, test window {place}",
            )

    def predict(self) -> None:
        """Forecast what follows the file's last row, in original units, into `forecast.csv`."""
        source = self.test_source
        windows = source.tail(self._noted_scaler()).to(self.device)
        pred = windows.inverse_transform(self._predict(windows, windows.values[None]))[0]
        columns = [self.args.target] if windows.target is not None else windows.columns
        table = pd.DataFrame(pred.cpu().numpy().astype(np.float64), columns=columns)
        table = table[[name for name in source.table.columns if name in columns]]
        dates = future_dates(source.table.dates, windows.pred_len)
        table.insert(0, "date", dates.strftime("%Y-%m-%d %H:%M:%S"))
        path = self.folders.results / "forecast.csv"
        with whole_file(path) as part:
            table.to_csv(part, index=False)
        print(f"forecast of {dates[0]} to {dates[-1]} in {path}")

    def _noted_scaler(self) -> StandardScaler | None:
        """The scaler of the training data, where a checkpoint noted it for these columns."""
        noted = self.checkpoint.metadata if self.checkpoint else {}
        if self.args.zero_shot or noted.get("columns") != self.test_source.columns:
            return None
        scaler = StandardScaler()
        scaler.mean_ = np.array(noted["scaler"]["mean"])
        scaler.scale_ = np.array(noted["scaler"]["scale"])
        scaler.n_features_in_ = len(scaler.mean_)
        return scaler

    def checkpoint_notes(self) -> dict:
        scaler = self.train_windows.scaler
        return {
            "columns": self.train_windows.columns,
            "scaler": {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
        }
