"""Where a training continues if it has no state of its own: in another folder, or not at all,
because it was finished."""

from collections.abc import Mapping
from pathlib import Path

from utils.files import read_notes
from utils.identity import LENGTH
from utils.progress import EpochRecord, Progress
from utils.results import RunFolders, read_record


def finished_training(
    folders: RunFolders, epochs: int, patience: int
) -> tuple[Progress, Path] | None:
    """Find out that there is nothing left to train, though the state was removed.

    The run itself was finished; or early stopping ended another one that differs only in the epochs
    that it might have had, and would end this one there, too.

    Args:
        folders: of the run. epochs, patience: of the training.

    Returns:
        The progress of the finished training and its best checkpoint; None if it is not finished,
        or nothing tells.
    """
    progress = _finished(folders, epochs, patience)
    if progress is not None:
        return progress, folders.best_checkpoint
    for other, unlike in folders.others(apart_from=LENGTH).items():
        progress = None if unlike else _finished(other, epochs, patience)
        if progress is not None and len(progress.history) <= epochs:
            return progress, other.best_checkpoint
    return None


def _finished(folders: RunFolders, epochs: int, patience: int) -> Progress | None:
    """Read the progress of a finished training from its best checkpoint, or else its record."""
    try:
        notes = read_notes(folders.best_checkpoint)
        if notes is None or notes["arguments"]["patience"] > patience:
            return None
        record = notes  # if the last epoch is the best one
        if len(notes["epochs"]) < epochs:
            record = read_record(folders.results)
            if record is None or record["best_epoch"] != notes["epoch"]:
                return None
        progress = _progress(record, notes["epoch"])
    except (OSError, LookupError, TypeError):
        return None
    progress.reopen(epochs, patience)
    return progress if progress.finished else None


def _progress(record: Mapping, best: Mapping) -> Progress:
    history = [EpochRecord(**epoch) for epoch in record["epochs"]]
    return Progress(
        epoch=len(history) + 1,
        epochs_without_improvement=len(history) - best["epoch"],
        skipped=record.get("skipped_steps", 0),
        history=history,
        best=EpochRecord(**best),
        finished=True,
    )


def other_state(folders: RunFolders, epochs: int, patience: int) -> Path | None:
    """Find a state in another folder; lines tell which, or that there is none.

    It is the newest one of a run of the same options, whose paths were written in another way; or
    else that with the most epochs of a run that only ends earlier.
    """
    same = [path for path, unlike in folders.other_states().items() if not unlike]
    if same:
        newest = max(same, key=lambda path: path.parent.stat().st_mtime)
        print(f"continues the run with the same options in {newest.parent}", flush=True)
        return newest
    shorter = {
        path: done
        for path, unlike in folders.other_states(apart_from=LENGTH).items()
        if not unlike and (done := _epochs_done(path, epochs, patience)) is not None
    }
    others = folders.other_states()
    if shorter:
        longest = max(shorter, key=shorter.get)
        print(f"continues the run {others[longest]}, in {longest.parent}", flush=True)
        return longest
    print("training starts at the beginning", flush=True)
    for path, unlike in list(others.items())[:1]:
        more = f" ({len(others) - 1} more)" if len(others) > 1 else ""
        print(f"states of other options: {path} is of a run {unlike}{more}", flush=True)
    return None


def _epochs_done(path: Path, epochs: int, patience: int) -> int | None:
    """Return how many epochs a state has; None if a training of `epochs` would not come to it, or
    might have been stopped before by a smaller `patience`."""
    notes = read_notes(path) or {}
    progress, arguments = notes.get("progress"), notes.get("arguments")
    if progress is None or arguments is None or arguments["patience"] > patience:
        return None
    done = len(progress["history"])
    return done if done + (progress["steps"] > 0) <= epochs else None
