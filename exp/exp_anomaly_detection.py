"""Anomaly detection by reconstruction: PSM, MSL, SMAP, SMD and SWaT."""

import sys
import time
from argparse import Namespace

import torch
from torch import Tensor

from data_provider.anomaly import (
    ALIASES,
    WindowedSeries,
    make_splits,
    point_scores,
    read_anomaly,
)
from exp.exp_basic import ExpBasic
from exp.record import save_results
from utils.batch import Batch
from utils.detection import detection_scores, segments, threshold
from utils.plots import plot_anomalies


class ExpAnomalyDetection(ExpBasic):
    """Reconstruct windows, and detect the points with large reconstruction errors.

    Every test point is scored once. The epoch is chosen on the held-out last fifth of the training
    rows; with `--reference_validation` as published, on PSM and SWaT on the test rows.
    """

    drop_last = False

    @staticmethod
    def resolve_args(args: Namespace) -> Namespace:
        """Set horizon and label length to 0: a window is its look-back."""
        data = ALIASES.get(args.data, args.data)
        return Namespace(**{**vars(args), "data": data, "pred_len": 0, "label_len": 0})

    def prepare_data(self) -> None:
        args = self.args
        tables = read_anomaly(args.data, args.root_path)
        if tables.filled:
            print(f"{args.root_path}: missing values replaced by 0: {tables.filled:,}")
        self.splits = splits = make_splits(
            tables, args.data, args.seq_len, published=args.reference_validation
        )
        self.train_set = splits.train.to(self.device)
        self.val_set = splits.val.to(self.device)
        self.test_set = splits.test.to(self.device)
        self.n_channels = tables.train.shape[1]
        if not tables.labels.any():
            print(
                f"warning: {args.root_path}: no test row is labelled anomalous: precision, recall "
                "and F1 are meaningless",
                file=sys.stderr,
            )
        print(
            f"{args.root_path}: {self.n_channels} channels; rows: {len(tables.train):,} train, "
            f"{len(tables.test):,} test, {tables.labels.mean():.1%} of them anomalous"
        )

    def training_batch(self, index: Tensor) -> Batch:
        (x,) = self.train_set.batch(index)
        return Batch(x, x)

    def validation_score(self, epoch: int) -> float:
        """Mean squared error of the reconstruction."""
        return self._errors(self.val_set).mean().item()

    def test_score(self) -> float:
        return self._errors(self.test_set).mean().item()

    def _errors(self, windows: WindowedSeries, label: str | None = None) -> Tensor:
        """Squared errors averaged over channels, `[windows, seq_len]`."""
        errors = []
        for index in self.evaluation.batches(windows, label):
            x = windows.batch(index)[0]
            errors.append((self.evaluation.predict(Batch(x)) - x).square().mean(dim=2))
        return torch.cat(errors)

    def test(self) -> dict[str, float]:
        """Score the points of training and test rows, and detect anomalies by a threshold."""
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        splits = self.splits
        reference = splits.train_scored.to(self.device)
        train_points = point_scores(reference, self._errors(reference, "scoring the training rows"))
        points = point_scores(splits.test, self._errors(splits.test, "scoring the test rows"))
        seen = None if self.args.threshold == "train" else points
        limit = threshold(train_points, seen, self.args.anomaly_ratio)
        detected = points > limit
        scores = detection_scores(detected, splits.labels)
        seconds = time.perf_counter() - start
        with self.folders.arrays(score=points.shape, pred=points.shape, true=points.shape) as files:
            files["score"].write(torch.from_numpy(points))
            files["pred"].write(torch.from_numpy(detected))
            files["true"].write(torch.from_numpy(splits.labels))
        if self.folders.writes:
            plot_anomalies(
                self.folders.plots / "anomalies.png",
                points,
                limit,
                segments(splits.labels),
                f"{self.args.data}: test scores, labelled segments shaded",
            )
        save_results(
            self,
            scores,
            scores,
            test={"data": str(self.args.root_path), "rows": len(points), "seconds": seconds},
            threshold=limit,
            threshold_from=self.args.threshold,
            anomaly_ratio=self.args.anomaly_ratio,
        )
        return scores
