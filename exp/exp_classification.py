"""Classification of whole series: UEA sets in `.ts` files."""

import time

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from data_provider.uea import make_splits, read_pair
from exp.exp_basic import ExpBasic
from models.interface import DataShape
from utils.batch import Batch
from utils.configuration import Configuration
from utils.errors import UserError
from utils.plots import plot_confusion


class ExpClassification(ExpBasic):
    """Train on the `_TRAIN.ts` file of a folder and test on its `_TEST.ts` file.

    The epoch is chosen on a held-out fifth of the training file.
    """

    score_name = "accuracy"
    higher_is_better = True
    drop_last = False

    def resolve_args(self, args: Configuration) -> Configuration:
        """Read the files, whose longest series is the look-back, as in the published code."""
        if args.data != "UEA":
            raise UserError(f"--data {args.data}: classification needs --data UEA")
        self.files = read_pair(args.root_path)
        length = max(int(file.lengths.max()) for file in self.files)
        return args.replace(seq_len=length, pred_len=0)

    def prepare_data(self) -> None:
        args = self.args
        self.note_data(*(file.path for file in self.files))
        splits = make_splits(self.files, self.seed)
        self.train_set, self.val_set, self.test_set = (
            TensorDataset(*(values.to(self.device) for values in splits[name].tensors))
            for name in ("train", "val", "test")
        )
        self.class_names, self.n_channels = self.files[0].class_names, self.files[0].n_channels
        print(
            f"{args.root_path}: {self.n_channels} channels, {args.seq_len} steps, "
            f"{len(self.class_names)} classes; samples: {len(self.train_set):,} train, "
            f"{len(self.val_set):,} validation, {len(self.test_set):,} test"
        )

    def data_shape(self) -> DataShape:
        """Take length, channels and classes from the files."""
        return DataShape(self.args.seq_len, 0, self.n_channels, len(self.class_names))

    def training_batch(self, index: Tensor) -> Batch:
        return self._batch(self.train_set, index)

    def _batch(self, samples: TensorDataset, index: Tensor) -> Batch:
        """Make a batch, with the padding if the model uses it."""
        x, y, lengths = samples[index]
        steps = torch.arange(x.shape[1], device=self.device)
        padding = (steps < lengths[:, None]).float() if self.objective.uses_marks else None
        return Batch(x, y, x_mark=padding)

    def trivial_scores(self) -> dict[str, float]:
        _, y, _ = self.val_set.tensors
        frequencies = y.bincount() / len(self.val_set)
        return {"the most frequent class": frequencies.max().item()}

    def score(self, samples: TensorDataset) -> float:
        _, y, _ = samples.tensors
        return float((self._classes(samples) == y.cpu().numpy()).mean())

    def _classes(self, samples: TensorDataset) -> np.ndarray:
        batches = (self._batch(samples, index) for index in self.evaluation.batches(samples))
        logits = [self.evaluation.predict(batch) for batch in batches]
        return torch.cat(logits).argmax(1).cpu().numpy()

    def test(self) -> dict[str, float]:
        """Classify the test file."""
        from sklearn.metrics import accuracy_score, confusion_matrix  # take a second to import

        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        pred, true = self._classes(self.test_set), self.test_set.tensors[1].cpu().numpy()
        seconds = time.perf_counter() - start
        names = self.class_names
        counts = confusion_matrix(true, pred, labels=range(len(names)))
        with self.folders.arrays(pred=pred.shape, true=true.shape) as files:
            files["pred"].write(torch.from_numpy(pred))
            files["true"].write(torch.from_numpy(true))
        scores = {"accuracy": float(accuracy_score(true, pred))}
        if self.folders.writes:
            most_frequent = counts.sum(axis=1).max() / len(true)
            plot_confusion(
                self.folders.plots / "confusion.png",
                counts,
                names,
                f"{self.files[1].path.stem}, {len(true):,} samples\n"
                f"{self.args.model}: accuracy {scores['accuracy']:.3f}\n"
                f"most frequent class: accuracy {most_frequent:.3f}",
            )
        self.save_results(
            scores,
            scores,
            test={
                "data": str(self.args.root_path),
                "windows": len(true),
                "samples": len(true),
                "seconds": seconds,
            },
            validation="held-out fifth",
            classes=names,
            confusion=counts.tolist(),
        )
        return scores
