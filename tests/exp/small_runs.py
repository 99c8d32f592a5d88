"""Small trainings of every task, and what they leave, for tests of resuming and the like."""

import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_provider.synthetic import synthetic_ett
from exp.exp_basic import ExpBasic
from run import EXPERIMENTS, parse_args
from tests.conftest import WIDTH
from utils.checkpoint import read_checkpoint

TASKS = {
    "long_term_forecast": "--data custom --data_path made_up.csv --seq_len 24 --pred_len 8",
    "short_term_forecast": "--data m4 --seasonal_patterns Weekly --task_loss smape",
    "imputation": "--data custom --data_path made_up.csv --seq_len 24 --pred_len 0",
    "anomaly_detection": "--data MSL --seq_len 20 --pred_len 0 --anomaly_ratio 3",
    "classification": "--data UEA",
}
STEPS = 12  # of an epoch of long-term forecasting in these runs
SHORT = "--batch_size 32 --train_epochs 3 --patience 3".split()


def prepare(folder: Path, gpt2: Path) -> None:
    """Copy a small GPT-2, and make data for each task, in `folder`."""
    shutil.copytree(gpt2, folder / "gpt2")
    table = synthetic_ett(rows=600, channels=3, seed=1)
    for name in ("made_up.csv", "target.csv"):
        table.to_csv(folder / name, index=False)
    values = table.iloc[:, 1:].to_numpy()
    np.save(folder / "MSL_train.npy", values[:400])
    np.save(folder / "MSL_test.npy", values[400:])
    np.save(folder / "MSL_test_label.npy", np.arange(200) % 50 < 5)

    series = values[:, 0] - values[:, 0].min() + 10
    for part, length, folder_name in (("train", 60, "Train"), ("test", 13, "Test")):
        lines = [",".join(f"V{i + 1}" for i in range(1 + length))]
        for number in range(60):
            start = 8 * number + (60 if part == "test" else 0)
            cells = [f"{value:.3f}" for value in series[start : start + length]]
            lines.append(",".join([f"W{number + 1}", *cells]))
        (folder / folder_name).mkdir()
        (folder / folder_name / f"Weekly-{part}.csv").write_text("\n".join(lines) + "\n")

    noise = np.random.default_rng(0)
    for part, count in (("TRAIN", 60), ("TEST", 30)):
        lines = ["@problemName Waves", "@classLabel true slow fast", "@data"]
        for number in range(count):
            label, speed = (("slow", 0.3), ("fast", 1.2))[number % 2]
            waves = np.sin(speed * np.arange(20 + number % 5)[None] + noise.uniform(0, 6, (2, 1)))
            cells = waves + 0.3 * noise.standard_normal(waves.shape)
            lines.append(":".join([*(",".join(f"{v:.4f}" for v in row) for row in cells), label]))
        (folder / f"Waves_{part}.ts").write_text("\n".join(lines) + "\n")


def command(task: str, data: Path, *more: str) -> list[str]:
    """The command line of a small training on what `prepare` made in `data`."""
    return [
        *f"--task_name {task} --is_training 1 --model_id small --model CALF".split(),
        *TASKS[task].split(),
        *"--label_len 0 --batch_size 8 --learning_rate 0.003 --lora_dropout 0.2".split(),
        *"--train_epochs 4 --patience 4 --tmax 3 --use_gpu 0 --threads 1".split(),
        *f"--d_model {WIDTH} --gpt_layers 2".split(),
        *("--root_path", str(data), "--llm", str(data / "gpt2")),
        *("--word_embedding_path", str(data / "gpt2" / "words.pt")),
        *more,
    ]


class Killed(BaseException):
    """Stands in for SIGKILL: nothing is saved."""


def argv(task: str, data: Path, *more: str) -> list[str]:
    return command(task, data, *SHORT, *more)


def experiment(task: str, data: Path, *more: str) -> ExpBasic:
    return built(argv(task, data, *more))


def built(line: list[str]) -> ExpBasic:
    """The experiment of a command line."""
    args = parse_args(line)
    module, name = EXPERIMENTS[args.task_name].split(":")
    return getattr(importlib.import_module(f"exp.{module}"), name)(args)


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


def timeless(notes: object) -> object:
    """Remove times, speeds and memory from notes."""
    if isinstance(notes, dict):
        measured = ("seconds", "windows_per_second", "peak_memory_mb")
        return {key: timeless(value) for key, value in notes.items() if key not in measured}
    return [timeless(value) for value in notes] if isinstance(notes, list) else notes
