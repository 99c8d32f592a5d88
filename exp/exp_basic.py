"""The base of all experiments: what a task implements, building a run, and the training loop."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sized
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from data_provider.batches import index_batches
from exp.baselines import TrivialScores
from exp.device import autocast, choose_device, choose_precision, speed_up
from exp.evaluation import Evaluation
from exp.processes import Processes, Stopping
from exp.progress import EpochRecord, Progress
from exp.record import Tracker, circumstances, commit
from exp.resume import TrainingState
from exp.step import TrainStep, largest_gradients
from models.interface import DataShape, Objective
from models.registry import ALIASES, objective_class
from utils.bars import progress_bar
from utils.batch import Batch
from utils.checkpoint import OWN, Checkpoint, read_checkpoint, save_tensors
from utils.configuration import Configuration
from utils.errors import ProcessGone, UserError
from utils.files import fingerprints
from utils.identity import settings_string, task_of
from utils.interrupts import Interrupted
from utils.machine import peak_memory
from utils.results import RunFolders, find_checkpoint
from utils.seeds import derived_seed, seed_everything
from utils.tasks import TASKS

DIAGNOSED = 32  # most windows of the diagnostics
DIAGNOSED_FRACTION = 200  # of the training windows one in so many, so that they take no time
DIAGNOSIS_SEED = 0  # of the diagnosed windows, where a task masks or cuts them at random


class ExpBasic(ABC):
    """One run: data, model, training, test; docs/extending.md tells what a task implements.

    Args:
        args: the options of the run.
        iteration: number of the repetition, from 0; its seed is `args.seed + iteration`.
        writes: whether the run may write files.
        root: folder of the results.
        folders: of the files; by default they are named by the options.
        checkpoint: of a trained model; by default the one that the options name.
        keep_states: whether training saves states to resume from.

    Raises:
        UserError: data, model files, checkpoint or options are invalid.
    """

    score_name = "mse"  # of the validation score
    higher_is_better = False
    drop_last = True  # whether training drops an incomplete last batch, as published

    train_set: Sized | None = None  # None without training
    val_set: Sized | None = None  # None trains without validation: the last epoch is the best
    test_set: Sized | None = None
    n_channels: int
    trivial: TrivialScores | None = None  # of the validation split; None without training
    data: dict[str, dict]  # fingerprints of the data files, see `note_data`

    def __init__(
        self,
        args: Configuration,
        iteration: int = 0,
        writes: bool = True,
        root: Path = Path(),
        folders: RunFolders | None = None,
        checkpoint: Checkpoint | None = None,
        keep_states: bool = True,
    ):
        self.started, self.commit = datetime.now(UTC).isoformat(timespec="seconds"), commit()
        self.published = args.protocol == "published"
        if self.published and type(self).batch_score is ExpBasic.batch_score:
            raise UserError(
                f"--protocol published: {args.task_name} has the sound protocol alone; what the "
                "published code does is told in docs/protocols.md"
            )
        objective_type = objective_class(args.model)
        self.seed = args.seed + iteration
        args = self.resolve_args(objective_type.resolve_args(args.replace(seed=self.seed)))
        self.task = task_of(type(self), args.task_name)
        if self.task not in TASKS:
            args = args.replace(experiment=self.task)
        seed_everything(self.seed)
        self.processes = Processes(args.use_gpu, "use_gpu" in args.given)
        self.device = device = self.processes.device or choose_device(args)
        # what "auto" finds is recorded, and names the run's folder, as it changes results
        amp = choose_precision(args.amp, device, self.processes)
        self.args = args = args.replace(amp=amp)
        self.setting = settings_string(args, iteration)
        self.checkpoint = checkpoint
        if checkpoint is None and objective_type.trained and not args.is_training:
            self.checkpoint = read_checkpoint(find_checkpoint(self.setting, args))
        trained = self.checkpoint and self.checkpoint.trained_with()
        writes = writes and self.processes.rank == 0
        self.folders = folders or RunFolders(self.setting, args, trained, writes, root)
        self.tracker = Tracker(self.folders, args.tensorboard, self.score_name)
        self.prepare_data()
        with self.folders.writable():
            self._build(objective_type, keep_states)

    def _build(self, objective_type: type[Objective], keep_states: bool) -> None:
        args, device, checkpoint = self.args, self.device, self.checkpoint
        self.objective = objective = objective_type(args, self.data_shape(), device, checkpoint)
        if checkpoint is not None:
            self.load(checkpoint)
        self.fast_modules = speed_up(objective, args, device, self.processes)
        self.stopping = Stopping(self.processes, device)
        precision = autocast(args.amp, device)
        self.evaluation = Evaluation(objective, self.processes, self.stopping, device, precision)
        self.progress = Progress(finished=not args.is_training)
        if not args.is_training:
            return

        self.step = TrainStep(objective, args, self.processes, device, precision)
        self.state = TrainingState(self.folders, args, self.step, keep_states)
        trivial = {} if self.val_set is None else self.trivial_scores()
        self.trivial = TrivialScores(self.score_name, self.higher_is_better, trivial)

    # What a task implements

    def resolve_args(self, args: Configuration) -> Configuration:
        """Set the arguments that the task fixes, and check those that it restricts."""
        return args

    @abstractmethod
    def prepare_data(self) -> None:
        """Read the files; set `data`, `n_channels` and the splits, on the device."""

    def data_shape(self) -> DataShape:
        """Return the shape of the data for the model; called after `prepare_data`."""
        return DataShape(self.args.seq_len, self.args.pred_len, self.n_channels)

    @abstractmethod
    def training_batch(self, index: Tensor) -> Batch:
        """Make the batch of the windows `index` `[batch]`, random masks included."""

    def score(self, windows: Sized) -> float:
        """Score the validation or the test split, for the line of an epoch."""
        raise NotImplementedError

    def validation_score(self) -> float:
        """Score the validation split after an epoch."""
        return self.score(self.val_set)

    def test_score(self) -> float:
        """Score the test split after an epoch."""
        return self.score(self.test_set)

    def batch_score(self, index: Tensor) -> tuple[float, float]:
        """Score the validation windows `index` `[batch]` without changing the modes of modules;
        return the score times its weight in the published mean over batches, and the weight."""
        raise NotImplementedError

    def trivial_scores(self) -> dict[str, float]:
        """Score trivial predictions of the validation split, first the one to beat."""
        return {}

    @abstractmethod
    def test(self) -> dict[str, float]:
        """Test the model, write the results, and return the scores."""

    def checkpoint_notes(self) -> dict:
        """Return further notes for the checkpoint."""
        return {}

    # Training

    def train(self) -> None:
        """Train for `--train_epochs` or until early stopping, or continue a training with
        `--resume`; then load the best checkpoint.

        Raises:
            UserError: the validation score was never finite; see also `skip_step`.
            Interrupted: a signal was received; the state is saved.
        """
        print(f">>> training {self.setting}")
        self.progress = progress = self.state.resume() if self.args.resume else self.state.start()
        with self.stopping, self.tracker.open(progress):
            try:
                while not progress.finished:
                    self.train_epoch()
                    self.save_state()
                    self.tracker.write(progress)
            except (Interrupted, ProcessGone):
                self.save_state()
                raise
        if progress.best is None:
            raise UserError(
                "the validation score was never finite, so that there is no checkpoint: "
                "try a smaller --learning_rate"
            )
        self.processes.broadcast(0)  # wait until rank 0 has written it
        self.load(read_checkpoint(self.folders.best_checkpoint))

    def order(self, epoch: int) -> tuple[Tensor, ...]:
        """Draw the windows of each optimisation step of an epoch, by its number and the seed."""
        per_step = self.args.batch_size * self.args.accumulate
        seed = derived_seed(self.seed, epoch, "order")
        return index_batches(len(self.train_set), per_step, self.device, seed, self.drop_last)

    def train_epoch(self) -> None:
        """Optimise, validate, write a better checkpoint, and go to the next epoch."""
        args, progress, epoch = self.args, self.progress, self.progress.epoch
        order = self.order(epoch)
        steps = len(order)
        self.begun = time.perf_counter() - progress.seconds  # of this epoch

        # optimisation
        self.objective.model.train()
        with progress_bar(f"epoch {epoch}/{args.train_epochs}", steps) as bar:
            bar.update(progress.steps)
            for step, index in enumerate(order[progress.steps :], start=progress.steps + 1):
                self.train_step(step, index)
                progress.steps = step
                if args.save_every and step % args.save_every == 0 and step < steps:
                    self.save_state()
                if bar.update():
                    bar.set_postfix_str(f"loss {progress.mean(self.step.sums['losses'])[0]:.4f}")
                self.stopping.check()

        # validation, and the best checkpoint
        speed = sum(map(len, order)) / (time.perf_counter() - self.begun)
        self.processes.broadcast_buffers(self.objective.model)
        torch.manual_seed(derived_seed(self.seed, epoch, "validation"))
        validation, test = self.processes.broadcast(*self.epoch_scores(epoch))
        record = self.epoch_record(validation, test, speed)
        improved = progress.is_improvement(record, self.higher_is_better)
        line = record.line(args.train_epochs, self.score_name)
        print(line + self.trivial.remark(record, improved), flush=True)
        progress.end_epoch(record, improved)
        if improved:
            self.save_checkpoint()

        # early stopping, and the learning-rate schedule
        progress.finished = epoch == args.train_epochs
        if progress.epochs_without_improvement >= args.patience:
            print(f"no improvement for {args.patience} epochs: stopped early")
            progress.finished = True
        self.step.end_epoch(last=progress.finished)

    def epoch_scores(self, epoch: int) -> tuple[float | None, float | None]:
        """Score the validation split, as `--protocol` says, and the test split; None for a split
        that there is not, or that is not scored."""
        validation = test = None
        if self.val_set is not None and self.published:
            validation = self.published_validation(epoch)
        elif self.val_set is not None:
            validation = self.validation_score()
        if self.test_set is not None and self.val_set is self.test_set:
            test = validation
        elif self.test_set is not None and not self.args.no_epoch_test:
            test = self.test_score()
        return validation, test

    def published_validation(self, epoch: int) -> float:
        """Validate as the published code does (docs/protocols.md), in shuffled batches and with
        some dropouts on, which are seeded for each batch; processes compute whole batches."""
        self.stopping.check()
        self.objective.published_validation_mode()
        sums = torch.zeros(2, device=self.device)
        seed = derived_seed(self.seed, epoch, "validation order")
        batches = index_batches(
            len(self.val_set), self.args.batch_size, self.device, seed, self.drop_last
        )
        for number, index in self.processes.shard(enumerate(batches)):
            torch.manual_seed(derived_seed(self.seed, epoch, "validation", number))
            sums += torch.tensor(self.batch_score(index), device=self.device)
        self.processes.all_reduce([sums])
        return (sums[0] / sums[1]).item()

    def train_step(self, step: int, index: Tensor) -> None:
        """Take one optimisation step on the windows `index`."""
        where = (self.seed, self.progress.epoch, step)
        torch.manual_seed(derived_seed(*where))
        if not self.step(self.training_batch(index), *where):
            self.skip_step(step, index)

    def skip_step(self, step: int, index: Tensor) -> None:
        """Count a step that updated nothing, as loss or gradient was not finite.

        Raises:
            UserError: there are more than allowed; the state before the step is saved.
        """
        progress, allowed = self.progress, self.args.skip_bad_steps
        shown = ", ".join(map(str, index[:8].tolist())) + (", …" if len(index) > 8 else "")
        what = (
            f"loss or gradient not finite at epoch {progress.epoch}, step {step} (windows {shown})"
        )
        if progress.skipped < allowed:
            progress.skipped += 1
            progress.skipped_of_epoch += 1
            print(f"{what}: skipped, {progress.skipped} of {allowed} allowed", flush=True)
            return
        self.save_state()
        saved = f"; the state before it is in {self.folders.state}" if self.state.keep else ""
        raise UserError(
            f"{what}; largest gradients: {largest_gradients(self.objective.model)}{saved}; check "
            "these windows, try a smaller --learning_rate, or allow some such steps by "
            "--skip_bad_steps"
        )

    def epoch_record(
        self, validation: float | None, test: float | None, speed: float
    ) -> EpochRecord:
        """Summarise the epoch that has ended, with the scores of two splits, and the windows that
        were trained in a second."""
        progress = self.progress
        found = self.diagnostics()
        progress.seconds = time.perf_counter() - self.begun
        (norm,) = progress.mean(self.step.sums["gradient_norms"])
        train, *parts = progress.mean(self.step.sums["losses"])
        memory = peak_memory(self.device)
        return EpochRecord(
            epoch=progress.epoch,
            train=train,
            validation=validation,
            test=test,
            learning_rate=self.step.schedule.get_last_lr()[0],
            seconds=progress.seconds,
            losses=dict(zip(self.objective.loss_names, parts, strict=True)),
            gradient_norm=norm if isfinite(norm) else None,
            windows_per_second=speed,
            peak_memory_mb=memory["device"] or memory["host"],
            diagnostics=found,
        )

    def diagnostics(self) -> dict[str, float]:
        """Ask the model for its diagnostics on a few training windows, the same after every epoch;
        of fewer than 200 on one, with `--tensorboard` alone. The random state stays as it is."""
        windows = len(self.train_set)
        count = min(DIAGNOSED, self.objective.evaluation_windows, windows // DIAGNOSED_FRACTION)
        if not count and not self.args.tensorboard:
            return {}
        index = torch.linspace(0, windows - 1, max(1, count), device=self.device).long()
        self.objective.model.eval()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), self.evaluation.autocast():
            torch.manual_seed(DIAGNOSIS_SEED)
            return self.objective.diagnostics(self.training_batch(index))

    # Checkpoints, states and results

    def load(self, checkpoint: Checkpoint) -> None:
        """Load a model's checkpoint; tensors of a forecaster are not the model's."""
        state = {n: tensor for n, tensor in checkpoint.state.items() if not n.startswith(OWN)}
        self.objective.load_state(state, checkpoint.metadata, checkpoint.path)

    def notes(self) -> dict:
        """Make the notes of a checkpoint: options, model, the best epoch and those up to it."""
        best, epochs = self.epochs()
        return {
            "setting": self.setting,
            "arguments": vars(self.args),
            **self.objective.notes,
            "epoch": best or {},
            "epochs": epochs,
            **self.checkpoint_notes(),
        }

    def epochs(self) -> tuple[dict | None, list[dict]]:
        """Return the best epoch, and all of the training, as they are recorded."""
        if self.checkpoint is not None:
            notes = self.checkpoint.metadata
            return notes.get("epoch"), notes.get("epochs", [])
        best = self.progress.best
        return best and asdict(best), [asdict(record) for record in self.progress.history]

    def save_checkpoint(self) -> None:
        """Write the model of the best epoch."""
        if self.folders.writes:
            tensors = self.objective.checkpoint_state()
            save_tensors(self.folders.best_checkpoint, tensors, self.notes())

    def save_state(self) -> None:
        """Write the state of training."""
        if self.progress.steps:  # within an epoch
            self.progress.seconds = time.perf_counter() - self.begun
        self.state.save(self.progress)

    def clear_states(self) -> None:
        """Remove the states of a run that has succeeded, but one that a longer training needs."""
        stopped_early = self.progress.epochs_without_improvement >= self.args.patience
        self.state.clear(keep=self.val_set is not None and not stopped_early)

    def note_data(self, *paths: Path) -> None:
        """Note the fingerprints of the data files, for `run.json`, on rank 0."""
        self.data = fingerprints(paths) if self.folders.writes else {}

    def record(self, scores: dict[str, float], **more: object) -> dict:
        """Make the record of the run for `run.json`, with the scores of its test."""
        best, epochs = self.epochs()
        checkpoint = self.checkpoint.path if self.checkpoint else self.folders.best_checkpoint
        return {
            "setting": self.setting,
            "folder": self.folders.name,
            "digest": self.folders.digest,
            "task": self.task,
            "model": ALIASES.get(self.args.model, self.args.model),
            "protocol": self.args.protocol,
            "scores": scores,
            **more,
            **(self.trivial.describe(self.progress.best) if self.trivial else {}),
            "best_epoch": best,
            "epochs": epochs,
            "training_seconds": sum(epoch["seconds"] for epoch in epochs),
            "seed": self.seed,
            **self.objective.notes,
            "checkpoint": str(checkpoint) if self.objective.trained else None,
            "data": self.data,
            "commit": self.commit,
            "command": self.args.command,
            **circumstances(self.device),
            "fast_cpu": self.fast_modules > 0,
            "processes": self.processes.count,
            "skipped_steps": self.progress.skipped,
            "started": self.started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": vars(self.args),
            "trained_with": self.folders.trained,
        }

    def save_results(
        self, metrics: dict[str, float], scores: dict[str, float], **more: object
    ) -> None:
        """Write `metrics.npy`, `run.json` with `more` entries, the results file; print `scores`."""
        self.folders.save_metrics(list(metrics.values()))
        self.folders.save_record(self.record({**metrics, **scores}, **more))
        self.folders.append_result(scores)
        line = ", ".join(f"{name}:{value:.4g}" for name, value in scores.items())
        print(f"{line}; results in {self.folders.results}")
