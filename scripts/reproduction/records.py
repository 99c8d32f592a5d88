"""What runs have left in the working folder: records of finished runs, states of others."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.reproduction.lists import Run
from scripts.reproduction.options import Identity, identity, parsed
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import read_notes


@dataclass(frozen=True)
class Record:
    """The `run.json` of a finished run.

    Attributes:
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
        words = shlex.split(record["command"])
        program = next(i for i, word in enumerate(words) if Path(word).name == "run.py")
        args = parsed(words[program + 1 :])
        args = args.replace(seed=record["seed"], itr=1)
        checkpoint = record["checkpoint"] and Path(record["checkpoint"])
        if args.do_predict and not path.with_name("forecast.csv").exists():
            raise ValueError("its forecast is missing")
        return cls(path, args, checkpoint)


class Records:
    """The records in `results/`; each file is read once.

    Args:
        pattern: of the files in the folder.

    Attributes:
        unreadable: files that are no records of this version; their runs count as not done.
    """

    def __init__(self, folder: Path = Path("results"), pattern: str = "*/run.json"):
        self.folder, self.pattern = folder, pattern
        self.unreadable: list[Path] = []
        self._read: dict[tuple[Path, int], Record | None] = {}
        self._found: dict[Identity, Record] = {}

    def refresh(self) -> None:
        """Read what is new."""
        read, self._found, self.unreadable = {}, {}, []
        for path in sorted(self.folder.glob(self.pattern)):
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
