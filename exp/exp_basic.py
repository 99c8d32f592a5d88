"""What all experiments share: what a task says, building a run, and the one training loop."""

import time
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import torch
from torch import Tensor

from data_provider.batches import batch_count, index_batches
from exp.checkpoint import Checkpoint, read_checkpoint, save_tensors
from exp.device import autocast, check_precision, choose_device, learning_rate_schedule, speed_up
from exp.evaluation import Evaluation, WindowSet, progress_bar
from exp.nonfinite import NonFiniteGuard, largest_gradients, where_nonfinite
from exp.processes import ProcessGone, Processes
from exp.record import account, epoch_line, is_better
from exp.resume import EpochRecord, Progress, StateFile, restore_training, training_state
from exp.step import Optimisers, TrainStep
from exp.stopping import Stopping
from models.interface import DataShape
from models.registry import objective_class
from utils.batch import Batch
from utils.errors import UserError
from utils.interrupts import Interrupted
from utils.results import RunFolders, settings_string
from utils.seeds import derived_seed, seed_everything


class ExpBasic(ABC):
    """One run: data, model, training, test.

    A task makes its splits (`prepare_data`), and says how windows become a batch
    (`training_batch`), how a split is scored (`validation_score`, `test_score`) and what a test
    leaves behind (`test`).

    Args:
        args: parsed arguments of `run.py`.
        iteration: number of the repetition; its seed is `args.seed + iteration`.

    Raises:
        UserError: data, model files or checkpoint are not as they should be.
    """

    score_name = "mse"  # what the validation score is
    higher_is_better = False
    drop_last = True  # whether an incomplete last training batch is left out, as published

    train_set: WindowSet
    val_set: WindowSet
    test_set: WindowSet
    n_channels: int

    def __init__(self, args: Namespace, iteration: int = 0):
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        if args.d_model is None:
            args = objective_class(args.model).resolve_args(args)
        self.args = args = self.resolve_args(args)
        self.setting = settings_string(args, iteration)
        self.seed = args.seed + iteration
        seed_everything(self.seed)
        self.processes = Processes(args.use_gpu, "use_gpu" in args.given)
        self.device = device = self.processes.device or choose_device(args)
        check_precision(args.amp, device)
        self.folders = RunFolders(self.setting, args.checkpoints, self.processes.rank == 0)
        self.checkpoint: Checkpoint | None = None
        if not args.is_training:
            self.checkpoint = read_checkpoint(args.checkpoint or self.folders.best_checkpoint)
        self.prepare_data()
        self.objective = objective_class(args.model)(args, self.data_shape(), device)
        if self.checkpoint is not None:
            self._load(self.checkpoint)
        self.fast_modules = speed_up(self.objective, args, device)
        self.folders.check_writable(args)
        self.stopping = Stopping(self.processes, device)
        precision = autocast(args.amp, device)
        self.evaluation = Evaluation(
            self.objective, self.processes, self.stopping, device, precision
        )
        self.progress = Progress()
        self.state_file = StateFile(self.folders.state, args)
        self.optimisers = Optimisers(
            self.objective.parameter_groups(), args.learning_rate, device, args.amp == "fp16"
        )
        self.scheduler = learning_rate_schedule(self.optimisers.main, args)
        waits = device.type == "cpu" or self.processes.count > 1 or args.amp == "fp16"
        self.guard = NonFiniteGuard(device, args.skip_bad_steps, interval=1 if waits else 50)
        self.step = TrainStep(
            self.objective, self.optimisers, self.guard, self.processes, self.stopping, precision
        )
        self.losses = torch.zeros(1 + len(self.objective.loss_names), device=device)
        self.clock = time.perf_counter()

    # What a task says

    @staticmethod
    def resolve_args(args: Namespace) -> Namespace:
        """Fill in the arguments that the task itself fixes."""
        return args

    @abstractmethod
    def prepare_data(self) -> None:
        """Read the files and make `train_set`, `val_set` and `test_set`, on the device, and
        tell `n_channels`."""

    def data_shape(self) -> DataShape:
        """Tell the model the shape of the data; called once they are there."""
        return DataShape(self.args.seq_len, self.args.pred_len, self.n_channels)

    @abstractmethod
    def training_batch(self, index: Tensor) -> Batch:
        """Make the batch of these windows; what is random about it is drawn here."""

    @abstractmethod
    def validation_score(self, epoch: int) -> float:
        """Score the validation split after an epoch."""

    @abstractmethod
    def test_score(self) -> float:
        """Score the test split, to be printed beside the validation score."""

    @abstractmethod
    def test(self) -> dict[str, float]:
        """Test the model, write the results, and return the scores."""

    def checkpoint_notes(self) -> dict:
        """What to note in a checkpoint beside model and training."""
        return {}

    # Training

    def train(self) -> None:
        """Train until the epochs or the patience run out, and end with the best model loaded.

        With `--resume` a run that was stopped goes on where it was.

        Raises:
            UserError: the validation score was never a number, or loss or gradient were not
                finite more often than `--skip_bad_steps` allows; the state is saved.
            Interrupted: a signal came; the state is saved.
        """
        args, steps = self.args, self.steps_per_epoch()
        print(f">>> training {self.setting}")
        self.start_or_resume()
        progress = self.progress
        with self.stopping, self.state_saved_when_stopped():
            while not progress.finished:
                epoch, self.clock = progress.epoch, time.perf_counter()
                self.objective.model.train()
                with progress_bar(f"epoch {epoch}/{args.train_epochs}", steps) as bar:
                    bar.update(progress.steps)
                    for step, index in self.remaining_steps():
                        self.train_step(step, index)
                        progress.steps = step
                        if step % self.guard.interval == 0:
                            self.check_nonfinite()
                        if args.save_every and step % args.save_every == 0 and step < steps:
                            self.save_state()
                        if bar.update():
                            bar.set_postfix_str(f"loss {self.mean_losses()[0]:.4f}")
                        self.stopping.check(self.step.signals)
                self.check_nonfinite()

                torch.manual_seed(derived_seed(self.seed, epoch, "validation"))
                validation, test = self.processes.broadcast(
                    self.validation_score(epoch), self.test_score()
                )
                record = self.epoch_record(validation, test)
                improved = is_better(record, progress.best, self.higher_is_better)
                self.print_epoch(record, improved)
                progress.end_epoch(record, improved)
                if improved:
                    self.save_checkpoint()
                progress.finished = epoch == args.train_epochs
                if progress.epochs_without_improvement >= args.patience:
                    print(f"no improvement for {args.patience} epochs: stopped early")
                    progress.finished = True
                if not progress.finished:
                    self.scheduler.step()
                self.losses.zero_()
                self.save_state()
        if progress.best is None:
            raise UserError(
                "the validation error was never a number, so that no model was kept: "
                "try a smaller --learning_rate"
            )
        self.processes.broadcast(0)  # all wait until process 0 has written it
        self._load(read_checkpoint(self.folders.best_checkpoint))

    def start_or_resume(self) -> None:
        """Take up the saved state with `--resume`, where there is one; else forget it."""
        self.clock = time.perf_counter()
        if not self.args.resume:
            if self.folders.writes:
                self.state_file.remove()
            return
        state = self.state_file.read()
        if state is None:
            print(
                f"{self.state_file.path} is absent: training starts at the beginning", flush=True
            )
            return
        self.objective.check_same_backbone(state.metadata, state.path)
        self.progress = progress = restore_training(
            state, self.objective, self.optimisers, self.scheduler, self.losses
        )
        self.guard.restart(progress.skipped)
        if progress.best is not None:
            try:
                read_checkpoint(self.folders.best_checkpoint)
            except UserError as error:
                raise UserError(
                    f"{error}; it held the best model so far: start anew without --resume"
                ) from error
        where = f"epoch {progress.epoch}, after step {progress.steps}"
        if progress.finished:
            print(f"training was finished, by {state.path}", flush=True)
        else:
            print(f"resumed from {state.path}: {where}", flush=True)

    def train_step(self, step: int, index: Tensor) -> None:
        """Take one optimisation step on the windows `index`, and add up its losses."""
        where = (self.seed, self.progress.epoch, step)
        torch.manual_seed(derived_seed(*where))
        self.losses += self.step(self.training_batch(index), *where)

    def steps_per_epoch(self) -> int:
        """Optimisation steps of an epoch."""
        return batch_count(len(self.train_set), self.windows_per_step(), self.drop_last)

    def windows_per_step(self) -> int:
        """Windows of an optimisation step."""
        return self.args.batch_size * self.args.accumulate

    def train_order(self, epoch: int) -> Iterator[Tensor]:
        """Yield the numbers of the windows of each step `[windows]`, in an order that depends on
        seed and epoch alone."""
        count, size = len(self.train_set), self.windows_per_step()
        return index_batches(count, size, self.device, self.epoch_seed(epoch), self.drop_last)

    def epoch_seed(self, epoch: int) -> int:
        """The seed of the order of an epoch (1-based)."""
        return self.seed * 100_003 + epoch

    def remaining_steps(self) -> Iterator[tuple[int, Tensor]]:
        """Yield number and windows of the steps of this epoch that are not done yet."""
        for step, index in enumerate(self.train_order(self.progress.epoch), start=1):
            if step > self.progress.steps:
                yield step, index

    def check_nonfinite(self) -> None:
        """Print which update was skipped, or stop where too many were.

        Raises:
            UserError: with step, windows and the largest gradients; the state is saved first.
        """
        progress = self.progress
        refused, last = self.guard.check()
        progress.skipped_of_epoch += self.guard.known - progress.skipped
        progress.skipped = self.guard.known
        if not (refused or last):
            return
        step = refused or last
        index = list(self.train_order(progress.epoch))[step - 1]
        what = where_nonfinite(progress.epoch, step, index)
        if not refused:
            print(f"{what}: skipped, {progress.skipped} of {self.guard.allowed} allowed", flush=True)
            return
        if progress.steps > refused:  # noticed later; nothing has changed since
            self.guard.restart(progress.skipped)
            self.train_step(step, index)
        largest = largest_gradients(self.objective.model)
        progress.steps = refused - 1
        self.guard.restart(progress.skipped)
        self.save_state()
        raise UserError(
            f"{what}; largest gradients: {largest}; the state before it is kept: "
            f"{self.state_file.path}; look at these windows, try a smaller --learning_rate, or "
            "allow some such steps by --skip_bad_steps"
        )

    def mean_losses(self) -> list[float]:
        """Mean losses of this epoch so far, the total first, over the steps that were taken."""
        taken = self.progress.steps - self.progress.skipped_of_epoch
        return [loss / taken if taken else float("nan") for loss in self.losses.tolist()]

    def epoch_record(self, validation: float, test: float) -> EpochRecord:
        """Sum up the epoch that is over."""
        self.note_time()
        train, *parts = self.mean_losses()
        rate = self.optimisers.main.param_groups[0]["lr"]
        losses = dict(zip(self.objective.loss_names, parts, strict=True))
        progress = self.progress
        return EpochRecord(
            progress.epoch, train, validation, test, rate, progress.seconds, losses
        )

    def print_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Print a line about an epoch."""
        print(
            epoch_line(record, self.args.train_epochs, self.score_name)
            + (" | best" if improved else ""),
            flush=True,
        )

    # Checkpoints and states

    def _load(self, checkpoint: Checkpoint) -> None:
        self.objective.load_state(checkpoint.state, checkpoint.metadata, checkpoint.path)

    def save_checkpoint(self) -> None:
        """Write the model of the best epoch."""
        if self.folders.writes:
            notes = {
                "setting": self.setting,
                "arguments": vars(self.args),
                **self.objective.notes,
                "epoch": asdict(self.progress.best),
                "epochs": [asdict(record) for record in self.progress.history],
                **self.checkpoint_notes(),
            }
            save_tensors(self.folders.best_checkpoint, self.objective.saved_state(), notes)

    def save_state(self) -> None:
        """Write the state of training."""
        self.check_nonfinite()
        if self.folders.writes:
            self.note_time()
            tensors, notes = training_state(
                self.objective, self.optimisers, self.scheduler, self.losses
            )
            notes |= {**self.objective.notes, "progress": asdict(self.progress)}
            self.state_file.save(tensors, notes)

    @contextmanager
    def state_saved_when_stopped(self) -> Iterator[None]:
        """Save the state where a signal, or the end of another process, stops training."""
        try:
            yield
        except (Interrupted, ProcessGone):
            self.save_state()
            raise

    def note_time(self) -> None:
        """Add what passed since the last note to the seconds of the epoch."""
        now = time.perf_counter()
        self.progress.seconds += now - self.clock
        self.clock = now

    def resume_hint(self) -> str:
        """Say what an interrupted training leaves behind."""
        saved = f"{self.state_file.path} is kept: the same command with --resume goes on"
        if self.progress.best is None:
            return f"no epoch was finished, so that there is no checkpoint; {saved}"
        return f"the checkpoint of epoch {self.progress.best.epoch} and {saved}"

    # Results

    def save_results(
        self, metrics: dict[str, float], scores: dict[str, float], **notes: object
    ) -> None:
        """Write metrics, record and results file, and print the scores.

        Args:
            metrics: what goes into `metrics.npy`, in its order, and into the record.
            scores: what goes into the results file.
            notes: more for the record.
        """
        self.folders.save_metrics(list(metrics.values()))
        self.folders.save_record(account(self, {**metrics, **scores}, **notes))
        self.folders.append_result(scores)
        line = ", ".join(f"{name}:{value:.4g}" for name, value in scores.items())
        print(f"{line}; results in {self.folders.results}")
