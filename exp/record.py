"""Records of a run: commit, machine and versions; `epochs.csv`; TensorBoard's files."""

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from exp.progress import EpochRecord, Progress
from utils.errors import UserError
from utils.files import whole_file
from utils.machine import peak_memory, processor_name
from utils.results import EPOCHS, RunFolders

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas", "scikit-learn")
TENSORBOARD = "tensorboard"  # folder in that of the results


@cache
def commit() -> str | None:
    """Return the commit of the code, with "+changes" if files differ from it; None without git or
    outside a repository."""

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


def circumstances(device: torch.device) -> dict[str, object]:
    """Describe the machine and the versions of packages for a run's record."""
    is_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_gpu else processor_name(),
        "peak_memory_mb": peak_memory(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
    }


class Tracker:
    """Writes `epochs.csv` and TensorBoard's files after each epoch.

    Args:
        folders: of the run; only rank 0 writes.
        tensorboard: whether to write TensorBoard's files.
        score: name of the validation and test scores.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folders: RunFolders, tensorboard: bool, score: str):
        if tensorboard and find_spec("tensorboard") is None:
            raise UserError("--tensorboard: the package is missing: pip install tensorboard")
        self.folders, self.tensorboard, self.score = folders, tensorboard, score
        self.path, part = folders.epochs, folders.epochs.stem.removeprefix(Path(EPOCHS).stem)
        self.events = folders.results / f"{TENSORBOARD}{part}"
        self._writer: SummaryWriter | None = None

    @contextmanager
    def open(self, progress: Progress) -> Iterator[None]:
        """Replace the files of an earlier run by the epochs so far; closes the files at the end."""
        if not self.folders.writes:
            yield
            return
        self.path.unlink(missing_ok=True)
        for path in self.events.glob("events.out.tfevents.*"):
            path.unlink()
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self._writer, self._written = SummaryWriter(self.events), 0  # epochs in them
        if progress.history:
            self.write(progress)
        try:
            yield
        finally:
            if self._writer is not None:
                self._writer.close()

    def write(self, progress: Progress) -> None:
        """Write `epochs.csv`, a row for each epoch, where numbers that were not recorded stay
        empty, and add the new epochs to TensorBoard's files."""
        if not self.folders.writes:
            return
        table = pd.DataFrame([_columns(record, self.score) for record in progress.history])
        best = progress.best.epoch if progress.best else None
        with whole_file(self.path) as part:
            table.assign(best=(table["epoch"] == best).astype(int)).to_csv(part, index=False)
        if self._writer is None:
            return
        for record in progress.history[self._written :]:
            for name, value in _columns(record, self.score).items():
                if name != "epoch" and value is not None:
                    self._writer.add_scalar(_tag(name), value, record.epoch)
        self._writer.flush()
        self._written = len(progress.history)


def _columns(record: EpochRecord, score: str) -> dict[str, float | None]:
    return {
        "epoch": record.epoch,
        "train_loss": record.train,
        **{f"{name}_loss": value for name, value in record.losses.items()},
        f"validation_{score}": record.validation,
        f"test_{score}": record.test,
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        "seconds": record.seconds,
        "windows_per_second": record.windows_per_second,
        "peak_memory_mb": record.peak_memory_mb,
        **record.diagnostics,
    }


def _tag(column: str) -> str:
    kind, _, rest = column.partition("_")
    if column.endswith("_loss"):
        return f"loss/{column.removesuffix('_loss')}"
    return f"{kind}/{rest}" if kind in ("validation", "test", "distance") else column
