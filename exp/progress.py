"""The progress of a training run, and the records of its epochs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from torch import Tensor


@dataclass(frozen=True)
class EpochRecord:
    """The record of an epoch.

    Attributes:
        train: mean training loss. losses: its terms by name, with their loss weights.
        validation, test: scores; None without the split. learning_rate: of the main optimiser.
        gradient_norm: mean L2 norm of the gradients of all trained parameters over the updates.
        windows_per_second: of the optimisation alone, without validation.
        peak_memory_mb: so far, in 10^6 bytes: of the GPU if there is one, else of this process.
        diagnostics: see `models.interface.Objective.diagnostics`.
    """

    epoch: int
    train: float
    validation: float | None
    test: float | None
    learning_rate: float
    seconds: float
    losses: dict[str, float] = field(default_factory=dict)
    gradient_norm: float | None = None
    windows_per_second: float | None = None
    peak_memory_mb: float | None = None
    diagnostics: dict[str, float] = field(default_factory=dict)

    def line(self, epochs: int, score: str) -> str:
        """Format the line of the epoch, of `epochs`; `score` names the scores."""
        terms = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        validation = "-" if self.validation is None else f"{self.validation:.4f}"
        test = "" if self.test is None else f"test {score} {self.test:.4f} | "
        return (
            f"epoch {self.epoch}/{epochs} | train loss {self.train:.4f} | "
            f"{terms + ' | ' if terms else ''}validation {score} {validation} | {test}"
            f"lr {self.learning_rate:.2e} | {self.seconds:.1f} s"
        )


@dataclass
class Progress:
    """The progress of a training run.

    Attributes:
        epoch: the current one, from 1. steps: its finished steps. seconds: its duration so far.
        epochs_without_improvement: since the best one.
        skipped, skipped_of_epoch: updates skipped as non-finite, in the run and in this epoch.
        history: the finished epochs. best: the one of the best checkpoint.
        finished: whether training is finished.
    """

    epoch: int = 1
    steps: int = 0
    seconds: float = 0.0
    epochs_without_improvement: int = 0
    skipped: int = 0
    skipped_of_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None
    finished: bool = False

    @classmethod
    def from_notes(cls, notes: Mapping) -> "Progress":
        """Read what `asdict` returned."""
        best = notes["best"] and EpochRecord(**notes["best"])
        history = [EpochRecord(**record) for record in notes["history"]]
        return cls(**{**notes, "best": best, "history": history})

    def mean(self, losses: Tensor) -> list[float]:
        """Divide sums over this epoch's updates, as of losses, by their number."""
        taken = self.steps - self.skipped_of_epoch
        return [loss / taken if taken else float("nan") for loss in losses.tolist()]

    def is_improvement(self, record: EpochRecord, higher_is_better: bool) -> bool:
        """Whether an epoch is the best so far; of equal ones the later is, as published, and
        without validation each one."""
        if record.validation is None:
            return True
        if not isfinite(record.validation):
            return False
        if self.best is None:
            return True
        gain = record.validation - self.best.validation
        return gain >= 0 if higher_is_better else gain <= 0

    def end_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Add a finished epoch, and go to the next one."""
        self.history.append(record)
        self.best = record if improved else self.best
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        self.epoch, self.steps, self.seconds, self.skipped_of_epoch = record.epoch + 1, 0, 0.0, 0

    def reopen(self, epochs: int, patience: int) -> bool:
        """Continue a finished training if it may have more `epochs`, or more `patience`; returns
        whether it does."""
        was_finished = self.finished
        self.finished = self.epoch > epochs or self.epochs_without_improvement >= patience
        return was_finished and not self.finished
