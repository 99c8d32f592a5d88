"""What a run reports: a line an epoch, and the account in `run.json`."""

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from typing import TYPE_CHECKING

import torch

from exp.device import device_name
from exp.resume import EpochRecord

if TYPE_CHECKING:
    from exp.exp_basic import ExpBasic

PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas", "scikit-learn")


def is_better(record: EpochRecord, best: EpochRecord | None, higher_is_better: bool) -> bool:
    """Whether an epoch is the best so far; of equals, the later one is, as published."""
    if not isfinite(record.validation):
        return False
    if best is None:
        return True
    if higher_is_better:
        return record.validation >= best.validation
    return record.validation <= best.validation


def epoch_line(record: EpochRecord, epochs: int, score: str) -> str:
    """Put an epoch on one line; `epochs` is the number of all, `score` names the scores."""
    losses = ", ".join(f"{name} {value:.4f}" for name, value in record.losses.items())
    return (
        f"epoch {record.epoch}/{epochs} | train loss {record.train:.4f} | {losses} | "
        f"validation {score} {record.validation:.4f} | test {score} {record.test:.4f} | "
        f"lr {record.learning_rate:.2e} | {record.seconds:.1f} s"
    )


def account(run: "ExpBasic", scores: dict[str, float], **more: object) -> dict:
    """Give the account of a run that goes into `run.json`.

    Args:
        scores: of the test. more: what else the task notes.
    """
    progress, checkpoint = run.progress, run.checkpoint
    best = asdict(progress.best) if progress.best else None
    epochs = [asdict(record) for record in progress.history]
    if checkpoint is not None:
        best, epochs = checkpoint.metadata.get("epoch"), checkpoint.metadata.get("epochs", [])
    return {
        "setting": run.setting,
        "scores": scores,
        **more,
        "best_epoch": best,
        "epochs": epochs,
        "training_seconds": sum(epoch["seconds"] for epoch in epochs),
        "seed": run.seed,
        **run.objective.notes,
        "checkpoint": str(checkpoint.path if checkpoint else run.folders.best_checkpoint),
        "device": device_name(run.device),
        "fast_cpu": run.fast_modules > 0,
        "threads": torch.get_num_threads(),
        "processes": run.processes.count,
        "skipped_steps": progress.skipped,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "started": run.started,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": vars(run.args),
        "trained_with": checkpoint.trained_with() if checkpoint else None,
    }
