"""The whole state of a training run, so that it can go on where it stopped."""

from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LRScheduler

from exp.checkpoint import Checkpoint, read_checkpoint, save_tensors, trained_state
from exp.step import Optimisers
from models.CALF import Model
from utils.command_line import message_of
from utils.errors import UserError
from utils.interrupts import Interrupted
from utils.results import configuration, difference


@dataclass(frozen=True)
class EpochRecord:
    """One epoch in numbers: errors, the learning rate it was trained with, and seconds."""

    epoch: int
    train: float
    validation: float
    test: float
    learning_rate: float
    seconds: float


@dataclass
class Progress:
    """How far a training run is.

    Attributes:
        epoch: under way, from 1. steps: of it that are done. seconds: that it took so far.
        waited: epochs since the best one.
        skipped, skipped_of_epoch: steps left out for numbers gone wrong, in all and in this epoch.
        history: the epochs that are over. best: the one whose model is kept.
        finished: whether training is over.
    """

    epoch: int = 1
    steps: int = 0
    seconds: float = 0.0
    waited: int = 0
    skipped: int = 0
    skipped_of_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None
    finished: bool = False

    @classmethod
    def of(cls, noted: dict) -> "Progress":
        """Take from what `asdict` gave."""
        best = noted["best"] and EpochRecord(**noted["best"])
        history = [EpochRecord(**record) for record in noted["history"]]
        return cls(**{**noted, "best": best, "history": history})


def training_state(
    model: Model, optimisers: Optimisers, total_loss: Tensor
) -> tuple[dict[str, Tensor], dict]:
    """Copy what training changes: tensors by name, and the learning rates.

    No random state is among it: what is drawn depends on seed, epoch and step alone.
    """
    tensors = {f"model.{name}": value for name, value in trained_state(model).items()}
    tensors["total_loss"] = total_loss.detach().cpu().clone()
    rates = {}
    for name, optimiser in _named(optimisers):
        noted = optimiser.state_dict()
        for number, state in noted["state"].items():
            for key, value in state.items():
                tensors[f"{name}.{number}.{key}"] = value.detach().cpu().clone()
        group = noted["param_groups"][0]
        rates[name] = {key: group[key] for key in ("lr", "initial_lr") if key in group}
    return tensors, rates | {"scaler": optimisers.scaler.state_dict()}


def restore_training(
    checkpoint: Checkpoint,
    model: Model,
    optimisers: Optimisers,
    scheduler: LRScheduler,
    total_loss: Tensor,
) -> Progress:
    """Bring back what `training_state` copied, bit by bit.

    Raises:
        UserError: the file is of another model.
    """
    state, notes = checkpoint.state, checkpoint.metadata
    own = trained_parameters(model)
    stored = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    if {n: p.shape for n, p in own.items()} != {n: v.shape for n, v in stored.items()}:
        raise UserError(f"{checkpoint.path}: the state of another model: --overwrite starts anew")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])
        total_loss.copy_(state["total_loss"])
    for name, optimiser in _named(optimisers):
        whole = optimiser.state_dict()
        whole["state"] = {}
        for key, value in state.items():
            owner, _, rest = key.partition(".")
            if owner == name:
                number, _, kind = rest.partition(".")
                whole["state"].setdefault(int(number), {})[kind] = value
        whole["param_groups"][0].update(notes["rates"][name])
        optimiser.load_state_dict(whole)
    optimisers.scaler.load_state_dict(notes["rates"]["scaler"])
    scheduler.load_state_dict(notes["scheduler"])
    return Progress.of(notes["progress"])


def trained_parameters(model: Model) -> dict[str, torch.nn.Parameter]:
    """The trained parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _named(optimisers: Optimisers) -> list[tuple[str, Adam]]:
    return [("main", optimisers.main), ("projections", optimisers.projections)]


class StateFile:
    """Where a run keeps its state, and the state before that one.

    Args:
        path: of the newer one. args: of the run; a state of other ones is refused.
    """

    def __init__(self, path: Path, args: Namespace):
        self.path = path
        self.previous = path.with_name(f"{path.stem}.previous{path.suffix}")
        self.damaged = path.with_name(f"{path.stem}.damaged{path.suffix}")
        self.args = args
        self._is_damaged = False

    def save(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write a state; the last one becomes the previous one once it is whole."""
        notes = {**notes, "arguments": vars(self.args)}
        if self._is_damaged:  # it must not take the place of the one before
            self.path.replace(self.damaged)
            self._is_damaged = False
        save_tensors(self.path, tensors, notes, keep=self.previous)

    def remove(self) -> None:
        """Remove the states of an earlier run, which nothing may go on from any more."""
        for path in (self.path, self.previous):
            if path.is_file():
                path.unlink()

    def read(self) -> Checkpoint | None:
        """Read the newest state that is whole; None where there is none at all.

        Raises:
            UserError: all are damaged, or of another configuration.
        """
        there = [path for path in (self.path, self.previous) if path.exists()]
        for path in there:
            try:
                checkpoint = read_checkpoint(path)
                if not checkpoint.verified:
                    raise UserError(f"{path}: the checksum is missing")
            except (UserError, OSError) as error:
                self._is_damaged |= path == self.path
                if path != there[-1]:
                    print(f"{message_of(error)}; trying the one before it: {there[-1]}")
                continue
            noted = checkpoint.metadata.get("arguments", {})
            how = difference(configuration(noted), configuration(vars(self.args)))
            if how:
                raise UserError(
                    f"{path} is of a run {how}: give the same options to --resume, or another "
                    "--model_id or --des"
                )
            return checkpoint
        if there:
            names = " and ".join(map(str, there))
            raise UserError(
                f"{names}: damaged, so that there is no state to --resume from: start anew "
                "without it"
            )
        return None


class Background:
    """Runs one task at a time beside the training; what one raises comes up at the next.

    Used as a context, it waits for the last one.
    """

    def __init__(self):
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._last: Future | None = None

    def submit(self, task: Callable, *arguments: object, **options: object) -> None:
        """Run `task` once the one before is done."""
        self.wait()
        self._last = self._pool.submit(task, *arguments, **options)

    def wait(self) -> None:
        """Wait for what was submitted, and raise what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, Interrupted):  # which says that all is saved
                self.wait()
        finally:
            self._pool.shutdown(wait=True)


def note_progress(progress: Progress, scheduler: LRScheduler, rates: dict) -> dict:
    """What to note beside the tensors of a state."""
    return {
        "progress": asdict(progress),
        "scheduler": scheduler.state_dict(),
        "rates": rates,
    }
