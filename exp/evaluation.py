"""Prediction in evaluation mode, in large batches, a shard of each per process."""

from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from data_provider.batches import index_batches
from exp.processes import Processes, Stopping
from models.interface import Objective
from utils.bars import progress_bar
from utils.batch import Batch

SEED = 0  # of each batch, for models that draw random numbers in evaluation too


@dataclass
class Evaluation:
    """Predictions for validation and test; `autocast` makes the context of mixed precision."""

    objective: Objective
    processes: Processes
    stopping: Stopping
    device: torch.device
    autocast: Callable[[], AbstractContextManager]

    def __post_init__(self) -> None:
        self.windows = self.objective.evaluation_windows  # of a process

    def predict(self, batch: Batch) -> Tensor:
        """Predict in evaluation mode; each process computes a shard of the windows. A signal raises
        `Interrupted`."""
        self.stopping.check()
        self.objective.model.eval()
        whole = self.objective.training_windows is None
        bounds = self.processes.bounds(len(batch), self.windows if whole else None)
        start, end = bounds[self.processes.rank : self.processes.rank + 2]
        # an empty shard computes one window, for the shape of its outputs
        rows = slice(start, end) if end > start else slice(0, 1)
        torch.manual_seed(SEED)
        outputs = self.predict_here(batch[rows])
        return self.processes.gather(outputs[: end - start], bounds)

    @torch.no_grad()
    def predict_here(self, batch: Batch) -> Tensor:
        """Predict in this process alone, without changing the modes of the modules."""
        with self.autocast():
            return self.objective.predict(batch).float()  # as scores and files are

    def batches(self, windows: Sized, label: str = "scoring") -> Iterator[Tensor]:
        """Yield the indices `[batch]` of all windows in order, in large batches, on the device,
        with a progress bar."""
        size = self.windows * self.processes.count
        indices = index_batches(len(windows), size, self.device)
        with progress_bar(label, len(indices)) as bar:
            for index in indices:
                yield index
                bar.update()
