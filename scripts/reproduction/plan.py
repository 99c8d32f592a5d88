"""What of a list is done, and what is left."""

import shlex
from pathlib import Path

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
        self.records.refresh()
        left = {run for run in self.runs if self.records.of(run) is None}
        for run in list(left):  # whose parent may have lost its checkpoint
            if run.parent and self.records.of(run.parent) and not self.has_checkpoint(run.parent):
                left.add(run.parent)
        self.left = [run for run in self.runs if run in left]
        self.resumable = interrupted(self.left)

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
        """Print every run."""
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
