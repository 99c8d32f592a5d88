"""What runs have left in the working folder: records of finished runs, states of others."""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.reproduction.lists import Run
from scripts.reproduction.options import Identity, identity, parsed
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import CHECKPOINT, read_notes


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
        """Make the record of a row of `runs.csv`, whose checkpoint is where the run has left it.

        Raises:
            UserError: its command has unknown options.
        """
        args = _arguments(row["command"])
        args = args.replace(itr=1, seed=int(row["seed"]) if args.is_training else args.seed)
        folder = Path(args.checkpoints) / (row["trained_by"] or row["run"])
        checkpoint = folder / CHECKPOINT if row["parameters"] else None
        return cls(Path(row["source"]) / "runs.csv", args, checkpoint)


def _arguments(command: str) -> Configuration:
    words = shlex.split(command)
    program = next(i for i, word in enumerate(words) if Path(word).name == "run.py")
    return parsed(words[program + 1 :])


class Records:
    """The records in `results/`; each file is read once.

    Args:
        published: folder of published runs that count, too; see `scripts.publish`.

    Attributes:
        unreadable: files that are no records of this version; their runs count as not done.
    """

    def __init__(self, folder: Path = Path("results"), published: Path | None = None):
        self.folder = folder
        self.unreadable: list[Path] = []
        self._read: dict[tuple[Path, int], Record | None] = {}
        self._found: dict[Identity, Record] = {}
        self._published: dict[Identity, Record] = {}
        if published:
            self._add_published(published)

    def _add_published(self, folder: Path) -> None:
        from utils.runs import read_runs  # with pandas, which takes time to import

        for _, row in read_runs([folder])[0].iterrows():
            with suppress(UserError):  # an option of an earlier version
                record = Record.published(row)
                self._published[identity(vars(record.args))] = record

    def refresh(self) -> None:
        """Read what is new."""
        read, self._found, self.unreadable = {}, dict(self._published), []
        for path in sorted(self.folder.glob("*/run.json")):
            key = path, path.stat().st_mtime_ns
            read[key] = self._read[key] if key in self._read else _readable(path)
            if read[key] is None:
                self.unreadable.append(path)
            else:
                self._found[identity(vars(read[key].args))] = read[key]
        self._read = read

    def of(self, run: Run) -> Record | None:
        """Return the record of a run, by the options of its command; None if it is not done."""
        wanted = [run.trained_alone] if run.trained_alone else []
        if run.parent is None:
            wanted.append(identity(vars(run.args)))
        elif trained := self.of(run.parent):
            tested = vars(run.args) | {"checkpoint": _text(trained.checkpoint)}
            wanted.append(identity(tested))
        return next((self._found[key] for key in wanted if key in self._found), None)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _readable(path: Path) -> Record | None:
    try:
        return Record.read(path)
    except (UserError, ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None


def interrupted(runs: Sequence[Run]) -> set[Run]:
    """Return those of `runs` that have left a state of training to resume from."""
    states = set()
    for folder in {run.args.checkpoints for run in runs}:
        for path in Path(folder).glob("*/state.safetensors"):
            try:
                states.add(identity(read_notes(path)["arguments"]))
            except (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError):
                continue  # damaged: the run itself reports it
    return {run for run in runs if run.args.is_training and identity(vars(run.args)) in states}
