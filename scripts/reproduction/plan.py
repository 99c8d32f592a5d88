"""What of a list is done, by the records of runs in the working folder, and what is left."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.reproduction.lists import ROOT, Run, RunList
from scripts.reproduction.options import Identity, identity, parsed
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import CHECKPOINT, read_notes

ETT = ("ETTh1.csv", "ETTh2.csv", "ETTm1.csv", "ETTm2.csv")


@dataclass(frozen=True)
class Record:
    """What is known of a finished run: its `run.json`, or its row among the published ones.

    Attributes:
        path: of the file.
        args: of its command, parsed; the seed is that of the repetition.
        checkpoint: of the model that it trained or tested; None if nothing is trained.
    """

    path: Path
    args: Configuration
    checkpoint: Path | None

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a record.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is damaged.
            UserError: its command has unknown options.
        """
        record = json.loads(path.read_text())
        args = _arguments(record["command"]).replace(seed=record["seed"], itr=1)
        checkpoint = record["checkpoint"] and Path(record["checkpoint"])
        if args.do_predict and not path.with_name("forecast.csv").exists():
            raise ValueError("its forecast is missing")
        return cls(path, args, checkpoint)

    @classmethod
    def published(cls, row: Mapping) -> "Record":
        """Make the record of a row of `runs.csv`, whose checkpoint is where the run has left it."""
        args = _arguments(row["command"])
        args = args.replace(itr=1, seed=int(row["seed"]) if args.is_training else args.seed)
        folder = Path(args.checkpoints) / (row["trained_by"] or row["run"])
        checkpoint = folder / CHECKPOINT if row["parameters"] else None
        return cls(Path(row["source"]) / "runs.csv", args, checkpoint)


def _arguments(command: str) -> Configuration:
    words = shlex.split(command)
    program = next(i for i, word in enumerate(words) if Path(word).name == "run.py")
    return parsed(words[program + 1 :])


@cache
def _read(path: Path, changed: int) -> Record | None:
    """Read a record once for each time `changed` of its file; None if it is unreadable."""
    try:
        return Record.read(path)
    except (UserError, ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


class Records:
    """The records in a folder of results.

    Args:
        published: folder of published runs that count, too; see `scripts.publish`.

    Attributes:
        unreadable: files that are no records; their runs count as not done.
    """

    def __init__(self, folder: Path = Path("results"), published: Path | None = None):
        self.folder, self.published = folder, []
        if published:
            from utils.runs import read_runs  # with pandas, which takes time to import

            rows = read_runs([published])[0].iterrows()
            self.published = [Record.published(row) for _, row in rows]
        self.refresh()

    def refresh(self) -> None:
        """Read what is new."""
        paths = sorted(self.folder.glob("*/run.json"))
        found = {path: _read(path, path.stat().st_mtime_ns) for path in paths}
        self.unreadable = [path for path, record in found.items() if record is None]
        records = [*self.published, *filter(None, found.values())]
        self._found = {identity(vars(record.args)): record for record in records}

    def of(self, run: Run) -> Record | None:
        """Return the record of a run, by the options of its command; None if it is not done."""
        wanted = [run.trained_alone]
        if run.parent is None:
            wanted.append(identity(vars(run.args)))
        elif trained := self.of(run.parent):
            checkpoint = trained.checkpoint and str(trained.checkpoint)
            wanted.append(identity(vars(run.args) | {"checkpoint": checkpoint}))
        return next((self._found[key] for key in wanted if key in self._found), None)


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
        left = {run for run in self.runs if self.records.of(run) is None}
        for run in list(left):  # whose parent may have lost its checkpoint
            record = self.records.of(run.parent) if run.parent else None
            if record and record.checkpoint and not record.checkpoint.is_file():
                left.add(run.parent)
        self.left = [run for run in self.runs if run in left]
        states = _unfinished({run.args.checkpoints for run in self.left})
        self.resumable = {
            run for run in self.left if run.args.is_training and identity(vars(run.args)) in states
        }

    def number(self, run: Run) -> int:
        """Return the number of a run in the list, from 1."""
        return self.runs.index(run) + 1

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


def _unfinished(folders: Iterable[str]) -> set[Identity]:
    """Return the trainings that have left a state to resume from, in folders of checkpoints."""
    states = set()
    for folder in folders:
        for path in Path(folder).glob("*/state.safetensors"):
            try:
                states.add(identity(read_notes(path)["arguments"]))
            except (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError):
                continue  # damaged: the run itself reports it
    return states


def _missing(args: Configuration) -> list[Path]:
    """Return data files that a run lacks, or their folder."""
    root = Path(args.root_path)
    wanted = [root]
    if args.task_name in ("long_term_forecast", "imputation"):
        wanted = [root / args.data_path] if args.is_training or not args.zero_shot else []
        if args.zero_shot:
            wanted.append(root / f"{args.target_data.removesuffix('.csv')}.csv")
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
