"""What a finished run writes: its scores, and its record in `run.json`."""

import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from exp.device import device_name, peak_memory
from models.registry import ALIASES
from utils.files import fingerprints

if TYPE_CHECKING:
    from exp.exp_basic import ExpBasic

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas", "scikit-learn")


@cache
def commit() -> str | None:
    """Return the commit of the code, with "+changes" if its files were changed since; None without
    git, or outside a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", ROOT, "--no-optional-locks", *words],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "run.py")  # the repository around may be another one
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def note_data(run: "ExpBasic", *paths: Path) -> None:
    """Store the fingerprints of the data files that were read, for `run.json`.

    Rank 0 alone hashes them.
    """
    run.data = fingerprints(paths) if run.folders.writes else {}


def notes_of(run: "ExpBasic") -> dict:
    """Make the notes of a checkpoint: options, model, the best epoch and those up to it."""
    return {
        "setting": run.setting,
        "arguments": vars(run.args),
        **run.objective.notes,
        "epoch": asdict(run.progress.best),
        "epochs": [asdict(record) for record in run.progress.history],
    }


def account(run: "ExpBasic", scores: dict[str, float], **more: object) -> dict:
    """Make the record of a run for `run.json`.

    Args:
        scores: of the test. more: further entries of the task.

    `command` is None if the run was not started by `run.py`.
    """
    progress, checkpoint = run.progress, run.checkpoint
    best = asdict(progress.best) if progress.best else None
    epochs = [asdict(record) for record in progress.history]
    if checkpoint is not None:
        best, epochs = checkpoint.metadata.get("epoch"), checkpoint.metadata.get("epochs", [])
    return {
        "setting": run.setting,
        "folder": run.folders.name,
        "digest": run.folders.digest,
        "task": run.args.task_name,
        "model": ALIASES.get(run.args.model, run.args.model),
        "protocol": run.args.protocol,
        "scores": scores,
        **more,
        **(run.trivial.describe(progress.best) if run.trivial else {}),
        "best_epoch": best,
        "epochs": epochs,
        "training_seconds": sum(epoch["seconds"] for epoch in epochs),
        "seed": run.seed,
        **run.objective.notes,
        "checkpoint": str(checkpoint.path if checkpoint else run.folders.best_checkpoint)
        if run.objective.trained
        else None,
        "data": run.data,
        "commit": run.commit,
        "command": getattr(run.args, "command", None),
        "device": device_name(run.device),
        "peak_memory_mb": peak_memory(run.device),
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
        "trained_with": run.folders.trained,
    }


def save_results(
    run: "ExpBasic", metrics: dict[str, float], scores: dict[str, float], **notes: object
) -> None:
    """Write `metrics.npy`, `run.json` and the results file, and print the scores.

    Args:
        run: the finished run.
        metrics: for `metrics.npy`, in this order, and for `run.json`.
        scores: for the results file.
        notes: further entries of `run.json`.
    """
    run.folders.save_metrics(list(metrics.values()))
    run.folders.save_record(account(run, {**metrics, **scores}, **notes))
    run.folders.append_result(scores)
    line = ", ".join(f"{name}:{value:.4g}" for name, value in scores.items())
    print(f"{line}; results in {run.folders.results}")
