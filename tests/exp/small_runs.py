"""Small trainings of every task, and what they leave, for tests of resuming and the like."""

import contextlib
import importlib
import io
import os
from pathlib import Path

import pytest

from exp.exp_basic import ExpBasic
from run import EXPERIMENTS, parse_args
from scripts.chaos import command, timeless
from utils.checkpoint import read_checkpoint

STEPS = 12  # of an epoch of long-term forecasting in these runs
SHORT = "--batch_size 32 --train_epochs 3 --patience 3".split()


class Killed(BaseException):
    """Stands in for SIGKILL: nothing is saved."""


def argv(task: str, data: Path, *more: str) -> list[str]:
    return command(task, data, *SHORT, *more)


def experiment(task: str, data: Path, *more: str) -> ExpBasic:
    module, name = EXPERIMENTS[task].split(":")
    of_task = getattr(importlib.import_module(f"exp.{module}"), name)
    return of_task(parse_args(argv(task, data, *more)))


def trained(task: str, data: Path, *more: str) -> dict[str, object]:
    """Train in the working folder; returns all results."""
    return all_of(experiment(task, data, *more))


def all_of(run: ExpBasic) -> dict[str, object]:
    """Train; returns all results."""
    run.train()
    return left(run) | {"test score": run.test_score()}


def left(run: ExpBasic) -> dict[str, object]:
    """What a run has left in its files: trained parameters, moments, schedule, progress."""
    found = {}
    for path in (run.folders.state, run.folders.best_checkpoint):
        if path.exists():
            for name, tensor in read_checkpoint(path).state.items():
                found[f"{path.stem} {name}"] = tensor.numpy().tobytes()
    notes = read_checkpoint(run.folders.state).metadata
    return found | {
        name: repr(timeless(notes[name])) for name in ("progress", "scheduler", "rates")
    }


def differ(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


class References:
    """Undisturbed runs, each trained once a session, in folders of their own."""

    def __init__(self, data: Path, folder: Path):
        self.data, self.folder, self.known = data, folder, {}

    def __call__(self, task: str, *more: str) -> dict[str, object]:
        if (task, more) not in self.known:
            folder = self.folder / str(len(self.known))
            folder.mkdir()
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                self.known[task, more] = trained(task, self.data, *more)
        return self.known[task, more]


def once_at(monkeypatch: pytest.MonkeyPatch, name: str, epoch: int, what, step: int = 0) -> None:
    """Do `what`, once, where a training comes to its method `name` in `epoch` (and `step`)."""
    waiting = [True]

    def patch(owner: type) -> None:
        plain = getattr(owner, name)

        def patched(self, *given):
            if waiting and self.progress.epoch == epoch and (not step or given[0] == step):
                waiting.clear()
                what()
            return plain(self, *given)

        monkeypatch.setattr(owner, name, patched)

    if name not in ExpBasic.__abstractmethods__:
        patch(ExpBasic)
        return
    for module, of_task in (target.split(":") for target in EXPERIMENTS.values()):
        patch(getattr(importlib.import_module(f"exp.{module}"), of_task))


def send(sign: int):
    """Make a function that sends this process a signal."""
    return lambda: os.kill(os.getpid(), sign)


def raises(error: BaseException):
    """Make a function that raises."""

    def throw():
        raise error

    return throw
