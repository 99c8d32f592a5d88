"""What of a list is done, what is left, and how long that takes."""

import shlex
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from scripts.reproduction.lists import Run, RunList
from scripts.reproduction.records import Records, interrupted
from scripts.reproduction.shell import ROOT
from utils.configuration import Configuration
from utils.errors import UserError

ETT = ("ETTh1.csv", "ETTh2.csv", "ETTm1.csv", "ETTm2.csv")


class Plan:
    """The runs of a list, and what runs have left of them in the working folder.

    Args:
        published: whether published runs count as done, too.

    Attributes:
        runs: of the list. left: those that are not done, in the same order.
        resumable: those of `left` that continue an interrupted training.
    """

    def __init__(self, run_list: RunList, published: bool = False):
        self.name, self.runs = run_list.name, run_list.runs
        self.records = Records(published=ROOT / "docs" / "results" if published else None)
        self.refresh()
        left = {run for run in self.runs if self.records.of(run) is None}
        for run in list(left):  # whose parent may have lost its checkpoint
            if run.parent and self.records.of(run.parent) and not self.has_checkpoint(run.parent):
                left.add(run.parent)
        self.left = [run for run in self.runs if run in left]
        self.resumable = interrupted(self.left)

    def refresh(self) -> None:
        """Read the records of runs that have finished."""
        self.records.refresh()
        self._alike, self._same = defaultdict(list), defaultdict(list)
        for record in self.records:
            self._alike[_kind(record.args)].append(record.seconds)
            self._same[_kind(record.args), _size(record.args)].append(record.seconds)

    def number(self, run: Run) -> int:
        """Return the number of a run in the list, from 1."""
        return self.runs.index(run) + 1

    def has_checkpoint(self, run: Run) -> bool:
        """Return whether what a finished run has trained is still there."""
        record = self.records.of(run)
        return record is not None and (record.checkpoint is None or record.checkpoint.is_file())

    def options(self, run: Run) -> list[str]:
        """Return the command line of a run without `python run.py`."""
        if run.args.is_training:
            return [*run.options, "--resume"]
        if run.parent is None:
            return run.options
        record = self.records.of(run.parent)
        if record is None or run.parent in self.left:
            return [*run.options, "--checkpoint", f"(that of run {self.number(run.parent)})"]
        if record.checkpoint is None:
            return run.options
        return [*run.options, "--checkpoint", str(record.checkpoint)]

    def print(self) -> None:
        """Print every run, and how long what is left takes."""
        for number, run in enumerate(self.runs, 1):
            if run not in self.left:
                print(f"{number:4} done: {run}")
                continue
            status = "to resume" if run in self.resumable else "to run"
            print(f"{number:4} {status}: python run.py {shlex.join(self.options(run))}")
        resumable = len(self.resumable)
        print(
            f"{self.name}: {len(self.runs)} runs: {len(self.runs) - len(self.left)} done, "
            f"{resumable} to resume, {len(self.left) - resumable} to run"
        )
        if self.left:
            print(f"time left: {time_left([(self.seconds(run), 0.0) for run in self.left])}")

    def seconds(self, run: Run) -> float | None:
        """Estimate how long a run takes, by the runs that are done; None if none is like it.

        Runs of the same model on the same data count: those of the same horizon, epochs and batch
        size if there are any, or else all. An interrupted training is estimated as a whole.
        """
        kind = _kind(run.args)
        found = self._same.get((kind, _size(run.args))) or self._alike.get(kind)
        return fmean(found) if found else None

    def check(self, jobs: int) -> None:
        """Check before the first run what would make runs fail.

        Raises:
            UserError: data files are missing; or runs that choose a GPU themselves are to run
                several at a time.
        """
        missing = {path: run for run in reversed(self.left) for path in _missing(run.args)}
        if missing:
            path, run = list(missing.items())[-1]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(
                f"{path}{more}: missing, for run {self.number(run)} of {self.name}: {_source(path)}"
            )
        for run in self.left if jobs > 1 else []:
            if run.args.use_multi_gpu or run.args.gpu:
                raise UserError(
                    f"run {self.number(run)} of {self.name} chooses its GPUs itself: leave out "
                    "--gpu and --use_multi_gpu, or take --jobs 1"
                )


def _kind(args: Configuration) -> tuple:
    return (
        args.task_name,
        args.is_training,
        args.model,
        args.data,
        Path(args.root_path, args.data_path),
        args.seasonal_patterns,
        args.percent,
    )


def _size(args: Configuration) -> tuple:
    return (args.pred_len, args.train_epochs, args.patience, args.batch_size, args.target_data)


def _missing(args: Configuration) -> list[Path]:
    """Return data files that a run lacks, or their folder."""
    root = Path(args.root_path)
    wanted = [root]
    if args.task_name in ("long_term_forecast", "imputation"):
        wanted = [root / args.data_path]
        if args.zero_shot:
            wanted.append(root / f"{args.target_data.removesuffix('.csv')}.csv")
            if not args.is_training:
                del wanted[0]
    if args.task_name == "short_term_forecast":
        names = [f"{args.seasonal_patterns}-{part}.csv" for part in ("train", "test")]
        wanted += [
            root / name for name in names if not [*root.glob(f"T*/{name}"), *root.glob(name)]
        ]
    return [path for path in wanted if not path.exists()]


def _source(path: Path) -> str:
    """Say where a data file comes from."""
    if path.name in ETT:
        if path.parent.name == "ETT-small":
            output = shlex.quote(str(path.parent.parent))
            return f"python datasets/download.py ETT --output {output}"
        return "python datasets/download.py ETT writes it to datasets/ETT-small"
    return "datasets/README.md says where it comes from"


def time_left(runs: Iterable[tuple[float | None, float]], jobs: int = 1) -> str:
    """Describe how long runs take.

    Args:
        runs: for each, its estimated seconds, and those that have passed.
        jobs: runs at a time.
    """
    runs = list(runs)
    known = [max(0.0, seconds - passed) for seconds, passed in runs if seconds is not None]
    unknown = len(runs) - len(known)
    if not known:
        return "unknown: no run of the same model and data is done"
    text = f"about {duration(sum(known) / min(jobs, len(known)))}"
    return f"{text}, and {unknown} of unknown length" if unknown else text


def duration(seconds: float) -> str:
    """Write a duration in one or two units."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours / 24:.1f} days"
