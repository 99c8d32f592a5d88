"""The state of a training run, from which it is resumed, and where it may lie."""

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer

from exp.device import use_products
from exp.progress import Progress
from exp.step import TrainStep
from models.interface import Objective
from utils.checkpoint import Checkpoint, StateFile, read_checkpoint, save_tensors
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import read_notes
from utils.identity import LENGTH
from utils.results import RunFolders, read_record


@dataclass
class TrainingState:
    """Saves and loads all that training changes, bit by bit.

    It contains no random state: random draws depend on seed, epoch and step alone.

    Args:
        folders: of the run; only the process that writes there saves the state.
        keep: whether states are written at all.
    """

    folders: RunFolders
    args: Configuration
    step: TrainStep
    keep: bool = True

    def __post_init__(self) -> None:
        self.file, self.objective = StateFile(self.folders.state), self.step.objective

    def start(self) -> Progress:
        """Remove the states of an earlier run, which nothing may resume from any more."""
        if self.folders.writes:
            self.file.remove()
        return Progress()

    def save(self, progress: Progress) -> None:
        """Write the state."""
        if not self.folders.writes or not self.keep:
            return
        model = self.objective.saved_state()
        tensors = {f"model.{name}": value for name, value in model.items()} | self.step.sums
        rates = {"scaler": self.step.scaler.state_dict()}
        for name, optimiser in self.step.optimisers.items():
            flat = flat_state(self.objective, optimiser)
            moments = {k: v for k, v in flat.items() if k.startswith("state.")}
            tensors |= {f"{name}.{key}": value for key, value in moments.items()}
            group = optimiser.param_groups[0]
            rates[name] = {key: group[key] for key in ("lr", "initial_lr") if key in group}
        notes = {
            **self.objective.notes,
            "progress": asdict(progress),
            "scheduler": self.step.schedule.state_dict(),
            "rates": rates,
            "arguments": vars(self.args),
        }
        self.file.save(tensors, notes)

    def resume(self) -> Progress:
        """Load the saved state, if there is one, and print where training resumes; what is damaged,
        or of another model, is an error."""
        args, best = self.args, self.folders.best_checkpoint
        state = self.file.read()
        if state is None:
            found = earlier_training(self.folders, args.train_epochs, args.patience)
            if found is None:
                return Progress()
            run, finished = found
            best = run.best_checkpoint
            if finished is not None:
                self._take_over(best)
                return self._told(finished, best)
            state = StateFile(run.state).read()
        self.objective.check_resumable(state.metadata, state.path)
        if "products" in self.objective.notes and "products" in state.metadata:
            use_products(self.objective, state.metadata["products"])
        progress = self._restore(state)
        if progress.reopen(args.train_epochs, args.patience):
            self.step.schedule.step()  # which the end of training left out
        if progress.best is not None:
            self._take_over(best)
        return self._told(progress, state.path)

    def _told(self, progress: Progress, file: Path) -> Progress:
        if not progress.finished:
            where = f"epoch {progress.epoch}, after step {progress.steps}"
            print(f"resumed from {file}: {where}", flush=True)
            return progress
        early = progress.epochs_without_improvement >= self.args.patience
        why = f"; early stopping ended it after epoch {len(progress.history)}" if early else ""
        print(f"training was finished, according to {file}{why}", flush=True)
        return progress

    def _take_over(self, best: Path) -> None:
        """Check the best checkpoint so far, and copy it from another folder if it is there."""
        try:
            checkpoint = read_checkpoint(best)
        except UserError as error:
            raise UserError(
                f"{error}; it was the best checkpoint so far: start anew without --resume"
            ) from error
        if best != self.folders.best_checkpoint and self.folders.writes:
            notes = {**checkpoint.metadata, "arguments": vars(self.args)}
            save_tensors(self.folders.best_checkpoint, checkpoint.state, notes)

    def clear(self, keep: bool) -> None:
        """Remove the states of a run that has succeeded; `keep` the newest one, from which a longer
        training may continue."""
        if not self.folders.writes:
            return
        self.file.previous.unlink(missing_ok=True)
        if not keep:
            self.file.remove()
        elif self.file.path.exists():
            print(
                f"{self.file.path} is kept: --resume with more --train_epochs continues from it; "
                "it may be deleted"
            )

    def resume_hint(self, progress: Progress) -> str:
        """Tell how to resume an interrupted training."""
        saved = f"{self.file.path} is saved: the same command with --resume continues"
        if progress.best is None:
            return f"no epoch was finished, so that there is no checkpoint; {saved}"
        return f"the checkpoint of epoch {progress.best.epoch} and {saved}"

    def _restore(self, checkpoint: Checkpoint) -> Progress:
        from torch.distributed.checkpoint import state_dict  # takes a second to import

        state, notes = checkpoint.state, checkpoint.metadata

        def part(name: str) -> dict[str, Tensor]:
            start = f"{name}."
            return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}

        own, stored = self.objective.saved_state(), part("model")
        if {n: p.shape for n, p in own.items()} != {n: v.shape for n, v in stored.items()}:
            raise UserError(
                f"{checkpoint.path}: the state of another model: --overwrite starts anew"
            )
        self.objective.model.load_state_dict(stored, strict=False)
        options = state_dict.StateDictOptions(flatten_optimizer_state_dict=True)
        for name, sums in self.step.sums.items():
            sums.copy_(state[name])
        for name, optimiser in self.step.optimisers.items():
            if moments := part(name):  # a step was taken
                flat = flat_state(self.objective, optimiser) | moments
                state_dict.set_optimizer_state_dict(
                    self.objective.model, optimiser, flat, options=options
                )
            optimiser.param_groups[0].update(notes["rates"][name])
        self.step.scaler.load_state_dict(notes["rates"]["scaler"])
        self.step.schedule.load_state_dict(notes["scheduler"])
        return Progress.from_notes(notes["progress"])


def flat_state(objective: Objective, optimiser: Optimizer) -> dict[str, object]:
    """Return an optimiser's state by names: `state.PARAMETER.KIND`, `param_groups.…`."""
    from torch.distributed.checkpoint import state_dict  # takes a second to import

    options = state_dict.StateDictOptions(flatten_optimizer_state_dict=True)
    return state_dict.get_optimizer_state_dict(objective.model, optimiser, options=options)


def earlier_training(
    folders: RunFolders, epochs: int, patience: int
) -> tuple[RunFolders, Progress | None] | None:
    """Find the training that a run without a state continues; lines tell which, or that there is
    none.

    Its options are the same, perhaps with paths written in another way, or it only ends earlier; of
    several it is the one that has come farthest.

    Returns:
        Its folders, which are those of the run itself if it was finished; and its progress, if it
        was finished and its state removed.
    """
    states, found = [], []
    for run in (folders, *folders.others()):
        state = None if run is folders else run.state_notes()
        states += [run] if state else []
        if run is not folders and folders.unlike(run, apart_from=LENGTH):
            continue
        if state is None:
            progress = finished = _finished(run, epochs, patience)
        else:
            progress, finished = Progress.from_notes(state["progress"]), None
            done = len(progress.history) + (progress.steps > 0)
            if done > epochs or state["arguments"]["patience"] > patience:
                continue  # this training would have stopped before
        if progress is not None:
            found.append((progress.epoch, progress.steps, run, finished))
    absent = f"{folders.state} is absent"
    if found:
        *_, run, finished = max(found, key=lambda one: one[:2])
        if finished is None:
            how = folders.unlike(run) or "with the same options"
            print(f"{absent}: continues the run {how}, in {run.state.parent}", flush=True)
        return run, finished
    print(f"{absent}: training starts at the beginning", flush=True)
    if states:
        more = f" ({len(states) - 1} more)" if len(states) > 1 else ""
        of = f"{states[0].state} is of a run {folders.unlike(states[0])}{more}"
        print(f"states of other options: {of}", flush=True)
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
    return progress if progress.finished and len(history) <= epochs else None
