"""The whole state of a training run, so that it can be resumed where it stopped."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from exp.checkpoint import Checkpoint, read_checkpoint, save_tensors
from exp.step import Optimisers
from models.interface import Objective
from utils.command_line import message_of
from utils.errors import UserError


@dataclass(frozen=True)
class EpochRecord:
    """One epoch in numbers.

    Attributes:
        train: mean training loss. losses: its parts by name.
        validation, test: scores of these splits.
        learning_rate: that the epoch was trained with. seconds: that it took.
    """

    epoch: int
    train: float
    validation: float
    test: float
    learning_rate: float
    seconds: float
    losses: dict[str, float] = field(default_factory=dict)


@dataclass
class Progress:
    """How far a training run is.

    Attributes:
        epoch: under way, from 1. steps: of it that are done. seconds: that it took so far.
        epochs_without_improvement: since the best one.
        skipped, skipped_of_epoch: updates skipped as not finite, in all and in this epoch.
        history: the epochs that are over. best: the one whose model is kept.
        finished: whether training is over.
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
        """Take from what `asdict` gave, now or in an earlier version."""
        notes = dict(notes)
        if "waited" in notes:
            notes["epochs_without_improvement"] = notes.pop("waited")
        best = notes["best"] and EpochRecord(**notes["best"])
        history = [EpochRecord(**record) for record in notes["history"]]
        return cls(**{**notes, "best": best, "history": history})

    def end_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Note that an epoch is over, and begin the next one."""
        self.history.append(record)
        self.best = record if improved else self.best
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        self.epoch, self.steps, self.seconds, self.skipped_of_epoch = record.epoch + 1, 0, 0.0, 0


def training_state(
    objective: Objective, optimisers: Optimisers, scheduler: LRScheduler, losses: Tensor
) -> tuple[dict[str, Tensor], dict]:
    """Collect what training changes: tensors by name, and notes.

    No random state is among it: what is drawn depends on seed, epoch and step alone.
    """
    tensors = {f"model.{name}": value for name, value in objective.saved_state().items()}
    tensors["losses"] = losses
    rates = {"scaler": optimisers.scaler.state_dict()}
    for name, optimiser in optimisers.by_name.items():
        moments = {k: v for k, v in flat_state(objective, optimiser).items() if "state." in k}
        tensors |= {f"{name}.{key}": value for key, value in moments.items()}
        group = optimiser.param_groups[0]
        rates[name] = {key: group[key] for key in ("lr", "initial_lr") if key in group}
    return tensors, {"rates": rates, "scheduler": scheduler.state_dict()}


def restore_training(
    checkpoint: Checkpoint,
    objective: Objective,
    optimisers: Optimisers,
    scheduler: LRScheduler,
    losses: Tensor,
) -> Progress:
    """Bring back what `training_state` collected, bit by bit.

    Raises:
        UserError: the file is of another model.
    """
    state, notes = checkpoint.state, checkpoint.metadata
    trained = objective.saved_state()
    stored = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    if {n: p.shape for n, p in trained.items()} != {n: v.shape for n, v in stored.items()}:
        raise UserError(f"{checkpoint.path}: the state of another model: --overwrite starts anew")
    objective.model.load_state_dict(stored, strict=False)
    if "losses" in state:
        losses.copy_(state["losses"])
    else:  # an earlier version kept the total alone
        losses.fill_(torch.nan)[0] = state["total_loss"]
    for name, optimiser in optimisers.by_name.items():
        start = f"{name}."
        moments = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        load_moments(moments, objective, optimiser)
        optimiser.param_groups[0].update(notes["rates"][name])
    optimisers.scaler.load_state_dict(notes["rates"]["scaler"])
    scheduler.load_state_dict(notes["scheduler"])
    return Progress.from_notes(notes["progress"])


def flat_state(objective: Objective, optimiser: Optimizer) -> dict[str, object]:
    """The state of an optimiser by names: `state.PARAMETER.KIND`, `param_groups.PARAMETER.KIND`."""
    from torch.distributed.checkpoint.state_dict import (  # takes a second to import
        StateDictOptions,
        get_optimizer_state_dict,
    )

    options = StateDictOptions(flatten_optimizer_state_dict=True)
    return get_optimizer_state_dict(objective.model, optimiser, options=options)


def load_moments(
    moments: Mapping[str, Tensor], objective: Objective, optimiser: Optimizer
) -> None:
    """Load moments by the names that `flat_state` gives them.

    Earlier versions numbered the parameters, in the order in which the optimiser has them.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    if not moments:  # no step was taken yet
        return
    names = {id(p): name for name, p in objective.model.named_parameters()}
    order = [names[id(p)] for p in optimiser.param_groups[0]["params"]]
    flat = flat_state(objective, optimiser)
    for key, value in moments.items():
        number, _, kind = key.partition(".")
        flat[f"state.{order[int(number)]}.{kind}" if number.isdigit() else key] = value
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    set_optimizer_state_dict(objective.model, optimiser, flat, options=options)


class StateFile:
    """Where a run keeps its state, and the state before that one.

    Args:
        path: of the newer one. args: of the run, to be noted.
    """

    def __init__(self, path: Path, args: Namespace):
        self.path, self.args = path, args
        self.previous = path.with_name(f"{path.stem}.previous{path.suffix}")
        self.damaged = path.with_name(f"{path.stem}.damaged{path.suffix}")
        self._is_damaged = False

    def save(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write a state; the last one becomes the previous one once it is whole."""
        if self._is_damaged:  # it must not take the place of the one before
            self.path.replace(self.damaged)
            self._is_damaged = False
        save_tensors(
            self.path, tensors, {**notes, "arguments": vars(self.args)}, keep=self.previous
        )

    def remove(self) -> None:
        """Remove the states of an earlier run, which nothing may resume from any more."""
        for path in (self.path, self.previous):
            if path.is_file():
                path.unlink()

    def read(self) -> Checkpoint | None:
        """Read the newest state that is whole; None where there is none at all.

        Raises:
            UserError: all are damaged.
        """
        there = [path for path in (self.path, self.previous) if path.exists()]
        for path in there:
            try:
                checkpoint = read_checkpoint(path)
                if not checkpoint.verified:
                    raise UserError(f"{path}: the checksum is missing")
                return checkpoint
            except (UserError, OSError) as error:
                self._is_damaged |= path == self.path
                if path != there[-1]:
                    print(f"{message_of(error)}; trying the one before it: {there[-1]}")
        if there:
            names = " and ".join(map(str, there))
            raise UserError(
                f"{names}: damaged, so that there is no state to --resume from: start anew "
                "without it"
            )
        return None
