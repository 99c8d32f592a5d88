"""Where a training continues if it has no state of its own: in another folder, or not at all,
because it was finished."""

from collections.abc import Mapping
from pathlib import Path

from exp.progress import Progress
from utils.files import read_notes
from utils.identity import LENGTH
from utils.results import RunFolders, read_record


def finished_training(
    folders: RunFolders, epochs: int, patience: int
) -> tuple[Progress, Path] | None:
    """Find out that there is nothing left to train, though the state was removed.

    The run itself was finished; or early stopping ended another one that differs only in the epochs
    that it might have had, and would end this one there, too. Its progress and its best checkpoint
    are returned.
    """
    others = [run for run in folders.others() if not folders.unlike(run, apart_from=LENGTH)]
    for run in (folders, *others):
        progress = _finished(run, epochs, patience)
        if progress is not None and len(progress.history) <= epochs:
            return progress, run.best_checkpoint
    return None


def _finished(folders: RunFolders, epochs: int, patience: int) -> Progress | None:
    """Read the progress of a finished training from its best checkpoint, or else its record."""
    try:
        notes = read_notes(folders.best_checkpoint)
        if notes is None or notes["arguments"]["patience"] > patience:
            return None
        best, record = notes["epoch"], notes  # if the last epoch is the best one
        if len(notes["epochs"]) < epochs:
            record = read_record(folders.results)
            if record is None or record["best_epoch"] != best:
                return None
        history = record["epochs"]
        progress = Progress.from_notes({
            "epoch": len(history) + 1,
            "epochs_without_improvement": len(history) - best["epoch"],
            "skipped": record.get("skipped_steps", 0),
            "history": history,
            "best": best,
        })  # fmt: skip
    except (OSError, LookupError, TypeError):
        return None
    progress.reopen(epochs, patience)
    return progress if progress.finished else None


def other_state(folders: RunFolders, epochs: int, patience: int) -> RunFolders | None:
    """Find another run whose state this one can continue; lines tell which, or that there is none.

    Its options are the same, perhaps with paths written in another way, or it only ends earlier; of
    several it is the one that has come farthest.
    """
    states = {run: notes for run in folders.others() if (notes := run.state_notes()) is not None}

    def continues(run: RunFolders, notes: Mapping) -> bool:
        """Whether this training would come to the state, without being stopped before."""
        done = len(notes["progress"]["history"]) + (notes["progress"]["steps"] > 0)
        stops_later = notes["arguments"]["patience"] > patience
        return done <= epochs and not stops_later and not folders.unlike(run, apart_from=LENGTH)

    found = {run: notes["progress"] for run, notes in states.items() if continues(run, notes)}
    if found:
        farthest = max(found, key=lambda run: (found[run]["epoch"], found[run]["steps"]))
        how = folders.unlike(farthest) or "with the same options"
        print(f"continues the run {how}, in {farthest.state.parent}", flush=True)
        return farthest
    print("training starts at the beginning", flush=True)
    for run in list(states)[:1]:
        more = f" ({len(states) - 1} more)" if len(states) > 1 else ""
        how = folders.unlike(run)
        print(f"states of other options: {run.state} is of a run {how}{more}", flush=True)
    return None
