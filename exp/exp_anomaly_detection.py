"""Anomaly detection by reconstruction: PSM, MSL, SMAP, SMD and SWaT."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_provider.anomaly import ALIASES, FILES, make_splits, point_scores, read_anomaly
from data_provider.windows import WindowDataset
from exp.exp_basic import ExpBasic
from utils.batch import Batch
from utils.configuration import Configuration
from utils.detection import detection_scores, segments, threshold
from utils.plots import plot_anomalies


class ExpAnomalyDetection(ExpBasic):
    """Reconstruct windows, and detect the points with large reconstruction errors.

    The epoch is chosen on the held-out last fifth of the training rows, and every test row is
    scored once.
    """

    drop_last = False

    def resolve_args(self, args: Configuration) -> Configuration:
        """Set horizon and label length to 0: a window is its look-back."""
        return args.replace(pred_len=0, label_len=0)

    def prepare_data(self) -> None:
        args = self.args
        data = ALIASES.get(args.data, args.data)
        tables = read_anomaly(data, args.root_path)
        self.note_data(*(Path(args.root_path) / name for name in FILES[data]))
        if tables.filled:
            print(f"{args.root_path}: missing values replaced by 0: {tables.filled:,}")
        self.labels = tables.labels
        self.splits = make_splits(tables, data, args.seq_len)
        self.train_set, self.val_set, self.test_set = (
            self.splits[name].to(self.device) for name in ("train", "val", "test")
        )
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
        x, _ = self.train_set.batch(index)
        return Batch(x, x)

    def score(self, windows: WindowDataset) -> float:
        return self._errors(windows).mean().item()

    def trivial_scores(self) -> dict[str, float]:
        return {"the mean of the training rows": self.val_set.values.square().mean().item()}

    def _errors(self, windows: WindowDataset, label: str = "scoring") -> Tensor:
        errors = []
        for index in self.evaluation.batches(windows, label):
            x = windows.batch(index)[0]
            errors.append((self.evaluation.predict(Batch(x)) - x).square().mean(dim=2))
        return torch.cat(errors)

    def _points(self, windows: WindowDataset, what: str) -> np.ndarray:
        return point_scores(windows, self._errors(windows, f"scoring {what}"))

    def test(self) -> dict[str, float]:
        """Score training and test rows, and detect anomalies by a threshold."""
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        train_points = self._points(
            self.splits["train_scored"].to(self.device), "the training rows"
        )
        points, labels = self._points(self.test_set, "the test rows"), self.labels
        seen = None if self.args.threshold == "train" else points
        limit = threshold(train_points, seen, self.args.anomaly_ratio)
        detected = points > limit
        scores = detection_scores(detected, labels)
        seconds = time.perf_counter() - start
        with self.folders.arrays(score=points.shape, pred=points.shape, true=points.shape) as files:
            files["score"].write(torch.from_numpy(points))
            files["pred"].write(torch.from_numpy(detected))
            files["true"].write(torch.from_numpy(labels))
        if self.folders.writes:
            all_detected = detection_scores(np.ones_like(labels), labels)
            plot_anomalies(
                self.folders.plots / "anomalies.png",
                points,
                limit,
                segments(labels),
                f"{self.args.data}, scores of the {len(points):,} test rows by {self.args.model}\n"
                f"point-adjusted F1 {scores['f1']:.3f} (precision {scores['precision']:.3f}, "
                f"recall {scores['recall']:.3f}), F1 of single points {scores['f1_raw']:.3f}; "
                f"all rows detected: F1 {all_detected['f1_raw']:.3f}",
            )
        self.save_results(
            scores,
            scores,
            test={
                "data": str(self.args.root_path),
                "windows": len(labels),
                "rows": len(labels),
                "points": len(points),
                "seconds": seconds,
            },
            threshold=limit,
            threshold_from=self.args.threshold,
            anomaly_ratio=self.args.anomaly_ratio,
        )
        return scores
