"""Which runs of a list are finished, according to `results/`, and which are left."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from run import check_paths
from scripts.reproduction.lists import Identity, Run, RunList, identity, parsed
from utils.configuration import Configuration
from utils.errors import UserError


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        path: of its `run.json`. identity: of its command, with the seed of the repetition.
        checkpoint: that it wrote or tested; None if the model has no parameters.
    """

    path: Path
    identity: Identity
    checkpoint: Path | None


Records = Mapping[Identity, Record]


def read_records(folder: Path) -> Records:
    """Read the records in a folder of results, without damaged ones."""
    found = []
    for path in sorted(folder.glob("*/run.json")):
        has_forecast = path.with_name("forecast.csv").exists()
        found.append(read_record(path, path.stat().st_mtime_ns, has_forecast))
    return {record.identity: record for record in found if record}


@cache
def read_record(path: Path, changed: int, has_forecast: bool) -> Record | None:
    """Read a `run.json`, once for each modification time; None if it is damaged, or if the forecast
    of `--do_predict`, which is written later, is not there."""
    try:
        record = json.loads(path.read_text())
        args = of_command(record["command"]).replace(seed=record["seed"], itr=1)
        if args.do_predict and not has_forecast:
            return None
        checkpoint = record["checkpoint"] and Path(record["checkpoint"])
        return Record(path, identity(vars(args)), checkpoint)
    except (UserError, ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


def of_command(command: str) -> Configuration:
    """Parse a command that starts `run.py`, such as `torchrun run.py …`."""
    words = shlex.split(command)
    program = next(i for i, word in enumerate(words) if Path(word).name == "run.py")
    return parsed(words[program + 1 :])


def record_of(run: Run, records: Records) -> Record | None:
    """Find the record of a run by the options of its command; None if it is not finished."""
    if run.parent is None:
        return records.get(run.identity)
    trained = record_of(run.parent, records)
    checkpoint = trained and trained.checkpoint and str(trained.checkpoint)
    return trained and records.get(identity(vars(run.args) | {"checkpoint": checkpoint}))


class Plan:
    """The runs of a list, and those that are left to run in the working folder.

    Attributes:
        records: of all finished runs in `results/`.
        left: the runs that are not finished, and their parents whose checkpoints were removed.
    """

    def __init__(self, run_list: RunList):
        self.name, self.runs = run_list.name, run_list.runs
        self.refresh()

    def refresh(self) -> None:
        """Read `results/` again."""
        self.records = read_records(Path("results"))
        left = {run for run in self.runs if self.record(run) is None}
        for parent in {run.parent for run in left if run.parent} - left:
            checkpoint = self.record(parent).checkpoint
            if checkpoint and not checkpoint.is_file():
                left.add(parent)
        self.left = [run for run in self.runs if run in left]

    def record(self, run: Run) -> Record | None:
        """Return the record of a run; None if it is not finished."""
        return record_of(run, self.records)

    def number(self, run: Run) -> int:
        """Return the number of a run in the list, from 1."""
        return self.runs.index(run) + 1

    def options(self, run: Run) -> list[str]:
        """Return the command line of a run without `python run.py`."""
        if run.args.is_training:
            return [*run.options, "--resume"]
        if run.parent is None:
            return run.options
        if run.parent in self.left:
            return [*run.options, "--checkpoint", f"(that of run {self.number(run.parent)})"]
        checkpoint = self.record(run.parent).checkpoint
        return [*run.options, *(["--checkpoint", str(checkpoint)] if checkpoint else [])]

    def status(self) -> str:
        """Say how many runs are done."""
        return f"{self.name}: {len(self.runs) - len(self.left)} of {len(self.runs)} runs are done"

    def print(self) -> None:
        """Print every run."""
        for number, run in enumerate(self.runs, 1):
            if run in self.left:
                print(f"{number:4} to run: python run.py {shlex.join(self.options(run))}")
            else:
                print(f"{number:4} done: {run}")
        print(self.status())

    def check(self) -> None:
        """Raise a `UserError` if a file is missing that the runs left are going to read."""
        for run in self.left:
            try:
                check_paths(run.args)
            except UserError as error:
                raise UserError(f"run {self.number(run)} of {self.name}: {error}") from error
