"""Folders and files of a run's results, as in Time-Series-Library."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from pathlib import Path

import numpy as np

from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import CHECKPOINT, NpyWriter, read_notes, remove_parts, whole_file
from utils.identity import (
    DIGITS,
    MANIFEST,
    RECORD,
    TESTED,
    TRAINED,
    configuration,
    difference,
    digest,
    task,
)
from utils.locks import locked

LOCK = ".lock"
EPOCHS = "epochs.csv"  # in the results folder, from the first epoch on
TRAINING = "training_record"  # entry of a test's record, where it replaces that of the training
STATE = "state.safetensors"
REFIT = "refit"  # part of the names of its files


class RunFolders:
    """The folders of a run, in the working folder, named by its settings string and its digest.

    Args:
        setting: the settings string.
        args: of the run, with the seed of the repetition. trained: see `configuration`.
        writes: whether this process may write; only rank 0 may.
        root: folder of the results.

    Attributes:
        digest: of the options that the setting lacks. name: of the folders.
        state: file of the training state. best_checkpoint: file of the best model.
        results, plots: folders. epochs: the table of the epochs, among the results.
        more: further folders that the run writes to.
    """

    def __init__(
        self,
        setting: str,
        args: Configuration,
        trained: Mapping | None = None,
        writes: bool = True,
        root: Path = Path(),
    ):
        self.setting, self.args, self.trained, self.writes = setting, args, trained, writes
        self.digest = digest(vars(args), trained)
        self.name = f"{setting}_{self.digest}"
        self.state = Path(args.checkpoints) / self.name / STATE
        self.best_checkpoint = self.state.with_name(CHECKPOINT)
        self.root, self.results = root, root / "results" / self.name
        self.epochs, self.plots = self.results / EPOCHS, root / "test_results" / self.name
        self.more: list[Path] = []

    def of_part(self, part: str) -> "RunFolders":
        """Return the folders for another training of this run, whose checkpoint, state and epochs
        have names of their own."""
        other = copy(self)
        for name in ("state", "best_checkpoint", "epochs"):
            path = getattr(self, name)
            setattr(other, name, path.with_stem(f"{path.stem}.{part}"))
        return other

    def others(self) -> "list[RunFolders]":
        """Find the folders of other runs of this setting."""
        found = []
        for folder in folders_of(self.setting, self.args.checkpoints):
            if folder.name != self.name:
                other = copy(self)
                other.name, other.results = folder.name, self.results.with_name(folder.name)
                other.state = folder / self.state.name
                other.best_checkpoint = folder / self.best_checkpoint.name
                found.append(other)
        return found

    def unlike(self, other: "RunFolders", apart_from: tuple[str, ...] = ()) -> str:
        """Describe how the configuration of another run differs from that of this one, but for
        the options `apart_from` of the training; empty if only the spelling of paths does."""
        now = {
            name: value
            for name, value in configuration(vars(self.args), self.trained).items()
            if name.removeprefix("trained ") not in apart_from
        }
        return _unlike(other.state.parent, now)

    def state_notes(self) -> dict | None:
        """Read the notes of the newest state; None if there is none, or only damaged ones."""
        states = [self.state, previous_state(self.state)]
        notes = [read_notes(path) for path in states if path.is_file()]
        return next((one for one in notes if one and "progress" in one), None)

    def unfinished(self) -> str:
        """Describe the unfinished run in these folders; empty if there is none, or only damaged
        states."""
        notes = self.state_notes()
        if notes is None:
            return ""
        progress = notes["progress"]
        if not progress["finished"]:
            return f"epoch {progress['epoch']} of {self.args.train_epochs}"
        if any(self.state.parent.glob(f"{self.state.stem}.{REFIT}*")):
            return "its refit"
        return "" if read_record(self.results) else "trained, but not tested"

    @contextmanager
    def writable(self) -> Iterator[None]:
        """Make the folders, and check before training that they are writable. After an error in the
        context, new empty folders are removed.

        Raises:
            UserError: a folder or the results file is not writable.
        """
        self.results_file = self.root / f"results_{task(self.args)}.txt"
        folders = [self.results, self.plots, *self.more]
        folders += [self.state.parent] if self.args.is_training else []
        paths = {path for folder in folders for path in (folder, *folder.parents)}
        new = sorted((p for p in paths if not p.exists()), key=lambda p: -len(p.parts))
        try:
            if self.writes:
                self._check_writable(folders)
            yield
        except BaseException:
            for path in new:
                with suppress(OSError):  # not empty
                    path.rmdir()
            raise

    def _check_writable(self, folders: list[Path]) -> None:
        path = self.results_file
        try:
            existed = path.exists()
            path.open("ab").close()
            if not existed:
                path.unlink()
            for path in folders:
                path.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            raise UserError(f"{path}: can't write there: {error.strerror}") from error

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the folders against other runs of the same configuration, and write the manifests.

        Raises:
            UserError: another run is writing there; the state to `--resume` has other or unknown
                options; or, without `--overwrite`, the folders contain files of a run with other
                or unknown options, or an unfinished run.
        """
        if not self.writes:
            yield
            return
        args = self.args
        own = [self.results, *([self.state.parent] if args.is_training else [])]
        now = configuration(vars(args), self.trained)
        with ExitStack() as stack:
            for folder in own:
                if not stack.enter_context(locked(folder / LOCK)):
                    raise UserError(
                        f"{folder}: another run with the same options is writing there: wait for "
                        "it, or give another --model_id or --des"
                    )
                remove_parts(folder)
            unlike = {folder: how for folder in own if (how := _unlike(folder, now))}
            resumes = args.is_training and args.resume
            if resumes and self.state.exists() and self.state.parent in unlike:
                raise UserError(
                    f"{self.state} is of a run {unlike[self.state.parent]}: give the same options "
                    "to --resume, or another --model_id or --des"
                )
            if unlike and not args.overwrite:
                folder, how = next(iter(unlike.items()))
                raise UserError(
                    f"{folder} has a run {how}: give another --model_id or --des, or "
                    "--overwrite to replace it"
                )
            starts_anew = args.is_training and not (args.resume or args.overwrite)
            if starts_anew and (found := self.unfinished()):
                raise UserError(
                    f"{self.state.parent} has an unfinished run of these options ({found}): "
                    "--resume continues it, --overwrite starts anew"
                )
            if content(self.results):
                print(f"{self.results} has results of an earlier run; this one replaces them")
            for path in [p for folder in unlike for p in (*content(folder), folder / EPOCHS)]:
                path.unlink(missing_ok=True)
            for suffix in ("png", "pdf"):
                for plot in self.plots.glob(f"*.{suffix}"):
                    plot.unlink()
            remove_parts(self.plots)
            for folder in own:
                with whole_file(folder / MANIFEST) as part:
                    part.write_text(json.dumps(now, indent=2) + "\n")
            try:
                yield
            finally:
                for folder in own:  # a manifest alone means nothing
                    if not content(folder):
                        (folder / MANIFEST).unlink(missing_ok=True)

    @contextmanager
    def arrays(
        self, precise: bool = False, keep: Sequence[int] = (), **shapes: tuple[int, ...]
    ) -> Iterator[dict[str, NpyWriter]]:
        """Open `NAME.npy` for each name and shape, to be written batch by batch, atomically; see
        `NpyWriter`. With `--no_save_predictions` there are no files."""
        with ExitStack() as stack:
            writers = {}
            for name, shape in shapes.items():
                file = None
                if self.writes and not self.args.no_save_predictions:
                    part = stack.enter_context(whole_file(self.results / f"{name}.npy"))
                    file = stack.enter_context(part.open("wb"))
                writers[name] = NpyWriter(file, shape, precise, keep)
            yield writers

    def save_metrics(self, values: list[float]) -> None:
        """Write `metrics.npy` in the order given."""
        if self.writes:
            with whole_file(self.results / "metrics.npy") as part, part.open("wb") as file:
                np.save(file, np.array(values, dtype=np.float32))

    def save_record(self, record: dict) -> None:
        """Write `run.json`, the record of the run. The record of a test that replaces that of the
        training keeps its epochs."""
        if self.writes:
            trained = None if self.args.is_training else read_record(self.results)
            if trained:
                names = ("epochs", "best_epoch", "skipped_steps")
                record = record | {TRAINING: {name: trained.get(name) for name in names}}
            with whole_file(self.results / RECORD) as part:
                part.write_text(json.dumps(record, indent=2, default=str) + "\n")

    def add_to_record(self, **more: object) -> None:
        """Add entries to `run.json`."""
        if self.writes:
            self.save_record(json.loads((self.results / RECORD).read_text()) | more)

    def append_result(self, scores: dict[str, float]) -> None:
        """Append the setting, a line of scores and an empty line to `results_<task>.txt`,
        atomically, even if other processes append too."""
        if not self.writes:
            return
        line = ", ".join(f"{name}:{value}" for name, value in scores.items())
        text = f"{self.setting}\n{line}\n\n".encode()
        path = self.results_file
        alone = locked(path.with_name(f".{path.name}{LOCK}"), wait=True)
        with alone, path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if file.write(text) < len(text):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def previous_state(path: Path) -> Path:
    """Return the file of the state before that of `path`."""
    return path.with_stem(f"{path.stem}.previous")


def read_record(folder: Path) -> dict | None:
    """Read the `run.json` of a training from a folder of results, even if a test has replaced it;
    None if there is none."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        record = json.loads((folder / RECORD).read_text())
        return record if record["arguments"]["is_training"] else record | record[TRAINING]
    return None


def folders_of(setting: str, checkpoints: str | Path) -> list[Path]:
    """List the folders of a setting in the folder of checkpoints."""
    name = re.compile(rf"{re.escape(setting)}_[0-9a-f]{{{DIGITS}}}")
    root = Path(checkpoints)
    paths = root.iterdir() if root.is_dir() else ()
    return sorted(path for path in paths if name.fullmatch(path.name))


def find_checkpoint(setting: str, args: Configuration) -> Path:
    """Find the checkpoint to test: that of `--checkpoint`; or else that of the training with the
    same options, which may be absent; or else the only one of this setting that was trained with
    them, whatever it was tested on; or else the only one of this setting.

    Raises:
        UserError: there are several others.
    """
    if args.checkpoint:
        return Path(args.checkpoint)
    own = RunFolders(setting, args).best_checkpoint
    found = [folder / CHECKPOINT for folder in folders_of(setting, args.checkpoints)]
    found = [path for path in found if path.is_file()]
    if own in found or not found:
        return own
    tested = set(TESTED) - set(TRAINED)
    training = {
        name: value
        for name, value in configuration(vars(args)).items()
        if name.startswith("trained ") and name.removeprefix("trained ") not in tested
    }
    found = [path for path in found if not _unlike(path.parent, training)] or found
    if len(found) > 1:
        raise UserError(
            f"several checkpoints of this setting: {', '.join(map(str, found))}: "
            "choose one by --checkpoint"
        )
    print(f"tests {found[0]}")
    return found[0]


def _unlike(folder: Path, now: Mapping[str, object]) -> str:
    """Describe how the run in a folder differs from a configuration; empty if it does not, or if
    there is no run."""
    if not content(folder):
        return ""
    with suppress(OSError, ValueError):
        earlier = json.loads((folder / MANIFEST).read_text())
        if isinstance(earlier, dict):
            return difference(earlier, now)
    return "of unknown options"


def content(folder: Path) -> list[Path]:
    """List the files of a run in a folder, but hidden files, the manifest and `epochs.csv`."""
    aside = (MANIFEST, EPOCHS)
    return [p for p in folder.glob("[!.]*") if p.is_file() and p.name not in aside]
