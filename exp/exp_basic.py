"""The base of all experiments: what a task implements, building a run, and the training loop."""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from data_provider.batches import TrainingOrder
from exp.baselines import TrivialScores
from exp.checkpoint import Checkpoint, read_checkpoint, save_tensors
from exp.device import autocast, check_precision, choose_device, learning_rate_schedule, speed_up
from exp.evaluation import Evaluation, WindowSet, progress_bar
from exp.nonfinite import NonFiniteGuard, check_nonfinite
from exp.processes import Processes, ProcessGone
from exp.progress import Clock, EpochRecord, Progress
from exp.published import SOUND, published_validation
from exp.record import commit, notes_of
from exp.resume import TrainingState
from exp.step import Optimisers, TrainStep
from exp.stopping import Stopping
from exp.tracking import Tracker, epoch_record
from models.interface import DataShape, Objective
from models.registry import objective_class
from utils.batch import Batch
from utils.errors import UserError
from utils.interrupts import Interrupted
from utils.results import RunFolders, find_checkpoint, settings_string
from utils.seeds import derived_seed, seed_everything


class ExpBasic(ABC):
    """One run: data, model, training, test.

    A task implements its splits (`prepare_data`), its training batches (`training_batch`), the
    scores of an epoch (`validation_score`, `batch_score`, `test_score`), and the final test with
    its results (`test`).

    Args:
        args: parsed arguments of `run.py`.
        iteration: number of the repetition, from 0; its seed is `args.seed + iteration`.
        writes: whether the run may write files.

    Raises:
        UserError: data, model files, checkpoint or options are invalid.
    """

    score_name = "mse"  # of the validation score
    higher_is_better = False
    drop_last = True  # whether training drops an incomplete last batch, as published
    published_rules = SOUND  # of the loop, under `--protocol published`
    root = Path()  # folder of the results

    train_set: WindowSet | None = None  # None without training
    val_set: WindowSet | None = None  # None trains without validation: the last epoch is the best
    test_set: WindowSet | None = None
    n_channels: int
    trivial: TrivialScores | None = None  # of the validation split; None without training
    data: dict[str, dict]  # fingerprints of the data files, see `note_data`

    def __init__(self, args: Namespace, iteration: int = 0, writes: bool = True):
        self.started, self.commit = datetime.now(UTC).isoformat(timespec="seconds"), commit()
        self.published = args.protocol == "published"
        objective_type = objective_class(args.model)
        self.seed = args.seed + iteration
        args = Namespace(**vars(args) | {"seed": self.seed})
        self.args = args = self.resolve_args(objective_type.resolve_args(args))
        self.setting = settings_string(args, iteration)
        seed_everything(self.seed)
        self.processes = Processes(args.use_gpu, "use_gpu" in args.given)
        self.device = device = self.processes.device or choose_device(args)
        check_precision(args.amp, device)
        self.checkpoint: Checkpoint | None = None
        if objective_type.trained and not args.is_training:
            self.checkpoint = read_checkpoint(find_checkpoint(self.setting, args))
        trained = self.checkpoint and self.checkpoint.trained_with()
        self.folders = self.make_folders(trained, writes and self.processes.rank == 0)
        self.tracker = Tracker(self.folders, args.tensorboard, self.score_name)
        self.prepare_data()
        with self.folders.writable():
            self._build(objective_type)

    def _build(self, objective_type: type[Objective]) -> None:
        """Make the model and, for a training, what trains it."""
        args, device = self.args, self.device
        if self.checkpoint is not None:
            stored = (self.checkpoint.state, self.checkpoint.metadata)
            args = objective_type.take_from_checkpoint(args, *stored)
        self.objective = objective = objective_type(args, self.data_shape(), device)
        if self.checkpoint is not None:
            self.load(self.checkpoint)
        self.fast_modules = speed_up(objective, args, device)
        self.stopping = Stopping(self.processes, device)
        precision = autocast(args.amp, device)
        self.evaluation = Evaluation(objective, self.processes, self.stopping, device, precision)
        self.progress, self.clock = Progress(finished=not args.is_training), Clock()
        if not args.is_training:
            return

        per_step = args.batch_size * args.accumulate
        self.order = TrainingOrder(len(self.train_set), per_step, device, self.seed, self.drop_last)
        rules = self.published_rules if self.published else SOUND
        self.optimisers = Optimisers(
            objective.parameter_groups(), args.learning_rate, device, args.amp == "fp16", rules
        )
        self.scheduler = learning_rate_schedule(self.optimisers.main, args, rules)
        waits = device.type == "cpu" or self.processes.count > 1 or args.amp == "fp16"
        self.guard = NonFiniteGuard(device, args.skip_bad_steps, interval=1 if waits else 50)
        self.step = TrainStep(
            objective, self.optimisers, self.guard, self.processes, self.stopping, precision
        )
        self.trivial = TrivialScores.of(self)
        self.losses = torch.zeros(1 + len(objective.loss_names), device=device)  # sums of an epoch
        self.state = TrainingState(
            self.folders, args, objective, self.optimisers, self.scheduler,
            {"losses": self.losses, "gradient_norms": self.step.gradient_norms},
        )  # fmt: skip

    # What a task implements

    def resolve_args(self, args: Namespace) -> Namespace:
        """Set the arguments that the task fixes, and check those that it restricts."""
        return args

    @abstractmethod
    def prepare_data(self) -> None:
        """Read the files; set `data`, `n_channels` and the splits, on the device."""

    def make_folders(self, trained: dict | None, writes: bool) -> RunFolders:
        """Name the folders; the arguments are those of `RunFolders`."""
        return RunFolders(self.setting, self.args, trained, writes, self.root)

    def data_shape(self) -> DataShape:
        """Return the shape of the data for the model; called after `prepare_data`."""
        return DataShape(self.args.seq_len, self.args.pred_len, self.n_channels)

    @abstractmethod
    def training_batch(self, index: Tensor) -> Batch:
        """Make the batch of the windows `index` `[batch]`, random masks included."""

    @abstractmethod
    def validation_score(self) -> float:
        """Score the validation split after an epoch."""

    @abstractmethod
    def batch_score(self, index: Tensor) -> tuple[float, float]:
        """Score the validation windows `index` `[batch]` without changing the modes of modules;
        return the score times its weight in the published mean over batches, and the weight."""

    @abstractmethod
    def test_score(self) -> float:
        """Score the test split, for the line of the epoch."""

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
        """Train for `--train_epochs` or until early stopping, then load the best checkpoint.

        With `--resume` training continues from the saved state.

        Raises:
            UserError: the validation score was never finite, or loss or gradient were non-finite
                more often than `--skip_bad_steps` allows; the state is saved.
            Interrupted: a signal was received; the state is saved.
        """
        args, steps = self.args, len(self.order)
        print(f">>> training {self.setting}")
        self.progress = progress = self.state.resume() if args.resume else self.state.start()
        self.guard.restart(progress.skipped)
        with self.stopping, self.state_saved_when_stopped(), self.tracker.open(progress):
            while not progress.finished:
                epoch = progress.epoch
                self.clock.start()

                # optimisation
                self.objective.model.train()
                with progress_bar(f"epoch {epoch}/{args.train_epochs}", steps) as bar:
                    bar.update(progress.steps)
                    for step, index in self.order.steps(epoch, done=progress.steps):
                        self.train_step(step, index)
                        progress.steps = step
                        if step % self.guard.interval == 0 or step == steps:
                            self.check_nonfinite()
                        if args.save_every and step % args.save_every == 0 and step < steps:
                            self.save_state()
                        if bar.update():
                            bar.set_postfix_str(f"loss {progress.mean(self.losses)[0]:.4f}")
                        self.stopping.check(self.step.signals)

                # validation, and the best checkpoint
                trained = self.clock.add_to(progress)
                self.processes.broadcast_buffers(self.objective.model)
                torch.manual_seed(derived_seed(self.seed, epoch, "validation"))
                validation, test = self.processes.broadcast(*self.epoch_scores(epoch))
                record = epoch_record(self, validation, test, trained)
                improved = progress.is_improvement(record, self.higher_is_better)
                self.print_epoch(record, improved)
                progress.end_epoch(record, improved)
                if improved:
                    self.save_checkpoint()

                # early stopping, and the learning-rate schedule
                progress.finished = epoch == args.train_epochs
                if progress.epochs_without_improvement >= args.patience:
                    print(f"no improvement for {args.patience} epochs: stopped early")
                    progress.finished = True
                if not progress.finished:
                    self.scheduler.step()
                self.losses.zero_()
                self.step.gradient_norms.zero_()
                self.save_state()
                self.tracker.write(progress)
        if progress.best is None:
            raise UserError(
                "the validation score was never finite, so that there is no checkpoint: "
                "try a smaller --learning_rate"
            )
        self.processes.broadcast(0)  # wait until rank 0 has written it
        self.load(read_checkpoint(self.folders.best_checkpoint))

    def epoch_scores(self, epoch: int) -> tuple[float | None, float | None]:
        """Score the validation split, as `--protocol` says, and the test split; None for a split
        that there is not, or that is not scored."""
        validation = test = None
        if self.val_set is not None:
            published = self.published
            validation = published_validation(self, epoch) if published else self.validation_score()
        if self.test_set is not None and self.val_set is self.test_set:
            test = validation
        elif self.test_set is not None and not self.args.no_epoch_test:
            test = self.test_score()
        return validation, test

    def train_step(self, step: int, index: Tensor) -> None:
        """Take one optimisation step on the windows `index`, and add its losses to the epoch's."""
        where = (self.seed, self.progress.epoch, step)
        torch.manual_seed(derived_seed(*where))
        self.losses += self.step(self.training_batch(index), *where)

    def check_nonfinite(self) -> None:
        """Report a skipped update, or stop if more would be skipped than allowed."""
        check_nonfinite(self)

    def print_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Print the line of an epoch."""
        line = record.line(self.args.train_epochs, self.score_name)
        print(line + self.trivial.remark(record, improved), flush=True)

    # Checkpoints and states

    def load(self, checkpoint: Checkpoint) -> None:
        """Load a model's checkpoint."""
        self.objective.load_state(checkpoint.state, checkpoint.metadata, checkpoint.path)

    def save_checkpoint(self) -> None:
        """Write the model of the best epoch."""
        if self.folders.writes:
            notes = notes_of(self) | self.checkpoint_notes()
            save_tensors(self.folders.best_checkpoint, self.objective.checkpoint_state(), notes)

    def save_state(self) -> None:
        """Write the state of training."""
        self.check_nonfinite()
        self.clock.add_to(self.progress)
        self.state.save(self.progress)

    def clear_states(self) -> None:
        """Remove the states of a run that has succeeded, but one that a longer training needs."""
        stopped_early = self.progress.epochs_without_improvement >= self.args.patience
        self.state.clear(keep=self.val_set is not None and not stopped_early)

    @contextmanager
    def state_saved_when_stopped(self) -> Iterator[None]:
        """Save the state if a signal, or the end of another process, stops training."""
        try:
            yield
        except (Interrupted, ProcessGone):
            self.save_state()
            raise
