"""What a training leaves to watch: `epochs.csv`, TensorBoard's files, the model's diagnostics."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from exp.device import peak_memory
from exp.progress import EpochRecord, Progress
from utils.errors import UserError
from utils.files import whole_file
from utils.results import EPOCHS, RunFolders

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from exp.exp_basic import ExpBasic

TENSORBOARD = "tensorboard"  # folder in that of the results
DIAGNOSED = 32  # most windows of the diagnostics
DIAGNOSED_FRACTION = 200  # of the training windows one in so many, so that they take no time
SEED = 0  # of the diagnosed windows, where a task masks or cuts them at random


class Tracker:
    """Writes the records of all epochs so far after each of them.

    Args:
        folders: of the run; only the process that writes there does anything.
        tensorboard: whether to write TensorBoard's files, too.
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
        """Replace what an earlier run left by the epochs so far, then follow the training."""
        if not self.folders.writes:
            yield
            return
        self.path.unlink(missing_ok=True)
        for path in self.events.glob("events.out.tfevents.*"):
            path.unlink()
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self._writer = SummaryWriter(self.events)
        if progress.history:
            self._write_csv(progress)
        for record in progress.history:
            self._add_scalars(record)
        try:
            yield
        finally:
            if self._writer is not None:
                self._writer.close()

    def write(self, progress: Progress) -> None:
        """Write the epochs so far."""
        if self.folders.writes:
            self._write_csv(progress)
            self._add_scalars(progress.history[-1])

    def _write_csv(self, progress: Progress) -> None:
        """Write `epochs.csv`, a row an epoch; what was not recorded stays empty."""
        best = progress.best.epoch if progress.best else None
        rows = [
            _columns(record, self.score) | {"best": int(record.epoch == best)}
            for record in progress.history
        ]
        names = {name: None for row in rows for name in row if name != "best"}
        with whole_file(self.path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*names, "best"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _add_scalars(self, record: EpochRecord) -> None:
        """Add the numbers of an epoch to TensorBoard's files."""
        if self._writer is None:
            return
        for name, value in _columns(record, self.score).items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(_tag(name), value, record.epoch)
        self._writer.flush()


def _columns(record: EpochRecord, score: str) -> dict[str, float | None]:
    """Name the numbers of an epoch as the columns of `epochs.csv`."""
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
    """Group the columns that TensorBoard shows together."""
    kind, _, rest = column.partition("_")
    if column.endswith("_loss"):
        return f"loss/{column.removesuffix('_loss')}"
    return f"{kind}/{rest}" if kind in ("validation", "test", "distance") else column


def epoch_record(
    run: "ExpBasic", validation: float | None, test: float | None, trained: float
) -> EpochRecord:
    """Summarise the epoch that has ended.

    Args:
        validation, test: scores of these splits. trained: seconds of the optimisation.
    """
    progress, order = run.progress, run.order
    found = diagnostics(run)
    run.clock.add_to(progress)
    (norm,) = progress.mean(run.step.gradient_norms)
    train, *parts = progress.mean(run.losses)
    memory = peak_memory(run.device)
    return EpochRecord(
        epoch=progress.epoch,
        train=train,
        validation=validation,
        test=test,
        learning_rate=run.optimisers.main.param_groups[0]["lr"],
        seconds=progress.seconds,
        losses=dict(zip(run.objective.loss_names, parts, strict=True)),
        gradient_norm=norm if isfinite(norm) else None,
        windows_per_second=min(order.count, len(order) * order.per_step) / trained,
        peak_memory_mb=memory["device"] or memory["host"],
        diagnostics=found,
    )


def diagnostics(run: "ExpBasic") -> dict[str, float]:
    """Ask the model for its diagnostics on a few training windows, the same after every epoch.

    At most one training window in 200 is taken, so that this costs less than 1 % of an epoch; of
    fewer windows one is, with `--tensorboard` alone. The random state stays as it is.
    """
    windows = len(run.train_set)
    count = min(DIAGNOSED, run.objective.evaluation_windows, windows // DIAGNOSED_FRACTION)
    if not count and not run.args.tensorboard:
        return {}
    index = torch.linspace(0, windows - 1, max(1, count), device=run.device).long()
    run.objective.model.eval()
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad(), run.evaluation.autocast():
        torch.manual_seed(SEED)
        return run.objective.diagnostics(run.training_batch(index))
