"""What all experiments share: building the model, the training loop, early stopping, records."""

import platform
import random
import shutil
import sys
import time
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler
from tqdm import tqdm

from data_provider.batches import batch_count, index_batches
from exp.checkpoint import (
    Checkpoint,
    backbone_fingerprint,
    read_checkpoint,
    restore_model,
    save_tensors,
    trained_state,
)
from exp.processes import Processes, ProcessGone
from exp.resume import (
    Background,
    EpochRecord,
    Progress,
    StateFile,
    note_progress,
    restore_training,
    training_state,
)
from exp.step import (
    PRECISIONS,
    BadSteps,
    Optimisers,
    check_precision,
    derived_seed,
    largest_gradients,
    passes,
)
from layers.backbone import check_backbone, describe_backbone, load_backbone
from models.CALF import CALFConfig, CALFOutput, Model
from pca import principal_word_embeddings
from utils.errors import UserError
from utils.interrupts import SIGNALS, Interrupted, Interrupts
from utils.losses import CALFLoss, Share
from utils.results import RunFolders, settings_string
from utils.word_embeddings import DEFAULT_PATH, load_word_embeddings

PROJECTION_LEARNING_RATE = 1e-4
COSINE_FLOOR = 1e-8
CPU_EVAL_TOKENS = 1536  # channels x windows of an evaluation batch: what the cache likes
GPU_EVAL_TOKENS = 65536


class WindowSet(Protocol):
    """A split: numbered windows, gathered by number."""

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """Gather the windows `index` `[batch]`; the first tensor is the model's input."""


class ExpBasic(ABC):
    """One run: data, model, training, test.

    A task makes its splits (`prepare_data`), and says how a batch becomes a loss (`batch_loss`),
    how a split is scored (`validation_score`, `test_score`) and what a test leaves behind
    (`test`).

    Args:
        args: parsed arguments of `run.py`.
        iteration: number of the repetition; its seed is `args.seed + iteration`.

    Raises:
        UserError: data, backbone, word embeddings or checkpoint are not as they should be.
    """

    score_name = "mse"  # what the validation score is
    higher_is_better = False
    drop_last = True  # whether an incomplete last training batch is left out, as published

    train_set: WindowSet
    val_set: WindowSet
    test_set: WindowSet
    n_channels: int

    def __init__(self, args: Namespace, iteration: int = 0):
        self.args = args = self.adapt(args)
        self.setting = settings_string(args, iteration)
        self.seed = args.seed + iteration
        seed_everything(self.seed)
        self.processes = Processes(args.use_gpu, "use_gpu" in args.given)
        self.device = self.processes.device or choose_device(args)
        check_precision(args, self.device)
        root = None if self.processes.rank == 0 else TemporaryDirectory(prefix="calf")
        self._root = root  # removed with this object
        self.folders = RunFolders(self.setting, args.checkpoints, root and root.name)
        self.loss = CALFLoss.of(args)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.checkpoint: Checkpoint | None = None
        if not args.is_training:
            self.checkpoint = read_checkpoint(args.checkpoint or self.folders.kept)
        self.prepare_data()
        self.model = self._build_model()
        if self.checkpoint is not None:
            restore_model(self.model, self.checkpoint)
        self.progress = Progress()
        self.interrupts: Interrupts | None = None
        self.trained_with = self.checkpoint.trained_with() if self.checkpoint else None
        self.folders.create(args, self.trained_with)

    # What a task says

    @staticmethod
    def adapt(args: Namespace) -> Namespace:
        """Fill in the arguments that the task itself fixes."""
        return args

    @abstractmethod
    def prepare_data(self) -> None:
        """Read the files and make `train_set`, `val_set` and `test_set`, on the device, and
        tell `n_channels`."""

    @abstractmethod
    def batch_loss(self, batch: tuple[Tensor, ...], share: Share) -> Tensor:
        """Compute the total loss, a scalar, of `batch`, which is `share` of the whole batch."""

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

    def model_config(self) -> CALFConfig:
        """Configure the model; called once the data are there."""
        return CALFConfig.of(self.args)

    # Building

    def _build_model(self) -> Model:
        args = self.args
        backbone = load_backbone(args.llm, args.llm_weights, args.seed)
        check_backbone(backbone.config, args.llm, args.d_model, args.gpt_layers)
        described = describe_backbone(args.llm, args.llm_weights, args.seed)
        path = Path(args.word_embedding_path)
        if str(path) == DEFAULT_PATH and not path.exists():
            components = min(500, backbone.config.n_embd)
            words = principal_word_embeddings(backbone.wte.weight, components)
            self.words_source = f"computed from {described}"
            print(f"{path} is not there: {components} word embeddings {self.words_source}")
        else:
            words = load_word_embeddings(path, backbone.config.n_embd)
            self.words_source = str(path)
        model = Model(self.model_config(), backbone, words).to(self.device)
        model.check_channels(self.n_channels)
        model.grad_checkpoint(args.grad_checkpoint)
        self.run_model = compiled(model, self.device) if args.compile else model
        self.parameters = {
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "in_memory": sum(p.numel() for p in model.parameters()),
        }
        self.backbone_notes = {
            "llm": args.llm,
            "llm_weights": args.llm_weights,
            "seed": args.seed,
            "gpt_layers": args.gpt_layers,
            "fingerprint": backbone_fingerprint(model),
        }
        print(
            f"CALF on {described}, {args.gpt_layers} blocks: "
            f"{self.parameters['trained']:,} trained of {self.parameters['in_memory']:,} "
            f"parameters, on {self.device}"
        )
        return model

    # Training

    def train(self) -> None:
        """Train until the epochs or the patience run out, and end with the best model loaded.

        With `--resume` a run that was stopped goes on where it was.

        Raises:
            UserError: the validation score was never a number, or loss or gradient were not, more
                often than `--skip_bad_steps` allows.
            Interrupted: a signal came; the state is saved.
        """
        args = self.args
        print(f">>> training {self.setting}")
        self.optimisers = Optimisers(self.model, args, PROJECTION_LEARNING_RATE)
        self.scheduler = learning_rate_schedule(self.optimisers.main, args)
        self.total_loss = torch.zeros((), device=self.device)
        self.state_file = StateFile(self.folders.state, args)
        if args.resume:
            self._resume()
        elif self.processes.rank == 0:
            self.state_file.remove()
        with Interrupts() as self.interrupts, Background() as self.background:
            try:
                while not self.progress.finished:
                    self._epoch()
            except (Interrupted, ProcessGone):
                self._save_state()
                raise
            finally:
                self.interrupts = None
        if self.progress.best is None:
            raise UserError(
                "the validation error was never a number, so that no model was kept: "
                "try a smaller --learning_rate"
            )
        self.processes.broadcast(0)  # all wait until process 0 has written it
        restore_model(self.model, read_checkpoint(self.folders.kept))

    def _resume(self) -> None:
        """Go on from the saved state, where there is one."""
        checkpoint = self.state_file.read()
        if checkpoint is None:
            print(
                f"{self.state_file.path} is not there: training starts at the beginning", flush=True
            )
            return
        fingerprint = checkpoint.metadata["backbone"]["fingerprint"]
        if fingerprint != self.backbone_notes["fingerprint"]:
            raise UserError(
                f"{checkpoint.path}: --llm {self.args.llm} is another GPT-2 than when training "
                "began: --resume needs the same"
            )
        self.progress = restore_training(
            checkpoint, self.model, self.optimisers, self.scheduler, self.total_loss
        )
        if self.progress.best is not None:
            self._find_best()
        if self.progress.finished:
            print(f"training was finished, by {checkpoint.path}", flush=True)
            return
        where = f"epoch {self.progress.epoch}, after step {self.progress.steps}"
        print(f"resumed from {checkpoint.path}: {where}", flush=True)

    def _find_best(self) -> None:
        """Make sure that the best model so far is there, rather now than after the last epoch.

        Raises:
            UserError: it is not, or is damaged.
        """
        path = self.folders.state.with_name(self.folders.checkpoint.name)
        try:
            read_checkpoint(path)
        except UserError as error:
            raise UserError(
                f"{error}; it held the best model so far: start anew without --resume"
            ) from error
        if path != self.folders.checkpoint:  # a process with a folder of its own
            shutil.copyfile(path, self.folders.checkpoint)

    def _epoch(self) -> None:
        """Run what is left of an epoch: steps, validation, early stopping, checkpoints."""
        args, progress = self.args, self.progress
        epoch, self._clock = progress.epoch, time.perf_counter()
        self._train_epoch()
        self._seed(epoch, "validation")
        validation, test = self.processes.broadcast(self.validation_score(epoch), self.test_score())
        self._note_time()
        rate = self.optimisers.main.param_groups[0]["lr"]
        taken = self._steps() - progress.skipped_of_epoch
        loss = self.total_loss.item() / taken if taken else float("nan")
        record = EpochRecord(epoch, loss, validation, test, rate, progress.seconds)
        better = self._is_better(record)
        progress.history.append(record)
        progress.waited = 0 if better else progress.waited + 1
        self._print_epoch(record, better)
        if better:
            progress.best = record
            self._save_checkpoint()
        stopped = progress.waited >= args.patience
        if stopped:
            print(f"no better for {progress.waited} epochs: stopped early")
        progress.finished = stopped or epoch == args.train_epochs
        if not progress.finished:
            self.scheduler.step()
        progress.epoch, progress.steps, progress.seconds = epoch + 1, 0, 0.0
        progress.skipped_of_epoch = 0
        self.total_loss.zero_()
        self._save_state()

    def _train_epoch(self) -> None:
        """Run the steps of an epoch that are not done yet."""
        args, progress = self.args, self.progress
        self.model.train()
        steps = self._steps()
        self.bad_steps = BadSteps(self.device, args.skip_bad_steps - progress.skipped)
        # where a step waits for the host anyway, and with half precision, whose scaler knows
        # nothing of `stopped`, each one is looked at; else they are when the bar is
        always = self.device.type == "cpu" or self.processes.count > 1 or args.amp == "fp16"
        bar = progress_bar(f"epoch {progress.epoch}/{args.train_epochs}", steps)
        bar.update(progress.steps)
        with bar:
            for step, index in enumerate(self.train_order(progress.epoch), start=1):
                if step <= progress.steps:
                    continue
                self._step(step, index)
                progress.steps = step
                if bar.update() or always:
                    self._check_steps()
                if bar.n == bar.last_print_n:
                    taken = max(1, step - progress.skipped_of_epoch)
                    bar.set_postfix_str(f"loss {self.total_loss.item() / taken:.4f}")
                if args.save_every and step % args.save_every == 0 and step < steps:
                    self._check_steps()
                    self._save_state()
                if self._stop_asked():
                    self._check_steps()
                    self.interrupts.check()
        self._check_steps()

    def _step(self, step: int, index: Tensor) -> None:
        """Take one optimisation step, and leave it out where loss or gradient is not finite."""
        loss = self._gradients(step, index)
        stopped = self.bad_steps.stopped
        bad = self.optimisers.step(loss, stopped)
        self.total_loss += torch.where(bad | stopped, 0.0, loss)
        self.bad_steps.note(step, bad)

    def _gradients(self, step: int, index: Tensor) -> Tensor:
        """Compute the gradients of a batch, over all passes and processes, and return its loss."""
        epoch = self.progress.epoch
        self._seed(epoch, step)
        batch = self.training_batch(index)
        cut = passes(
            batch,
            self.n_channels,
            self.args.batch_size,
            # on CPUs, which passes small enough cost most, the same ones as in a single process
            self.processes.count if self.device.type == "cuda" else 1,
            self.scored_entries(batch),
        )
        self.optimisers.zero_grad()
        total = torch.zeros((), device=self.device)
        for number, part, share in self.processes.shard(cut):
            self._seed(epoch, step, number)
            with self.precision():
                loss = self.batch_loss(part, share)
            self.optimisers.backward(loss)
            total += loss.detach()
        if self.processes.count > 1:
            self._signals = self._own_signals()
            self.processes.all_reduce([*self.optimisers.all_gradients(), total, self._signals])
        return total

    def _own_signals(self) -> Tensor:
        """Which signals came to this process, `[signals]`."""
        codes = [float(code == self.interrupts.code) for code in SIGNALS.values()]
        return torch.tensor(codes, device=self.device)

    def _stop_asked(self) -> bool:
        """Whether a signal came, to any of the processes."""
        if self.processes.count == 1:
            return bool(self.interrupts.code)
        for code, count in zip(SIGNALS.values(), self._signals.tolist(), strict=True):
            if count:
                self.interrupts.adopt(code)
                return True
        return False  # one that came after the gradients were added up is seen a step later

    def _check_steps(self) -> None:
        """Stop where more steps were left out than `--skip_bad_steps` allows.

        Raises:
            UserError: with step, windows and the largest gradients; the state is saved first.
        """
        progress, allowed = self.progress, self.args.skip_bad_steps
        bad = int(self.bad_steps.count.item())
        if not bad:
            return
        step = int(self.bad_steps.last.item())
        progress.skipped += bad
        progress.skipped_of_epoch += bad
        self.bad_steps = BadSteps(self.device, allowed - progress.skipped)
        index = list(self.train_order(progress.epoch))[step - 1]
        windows = index.tolist()
        shown = ", ".join(map(str, windows[:8])) + (", …" if len(windows) > 8 else "")
        what = (
            f"loss or gradient not finite at epoch {progress.epoch}, step {step} (windows {shown})"
        )
        if progress.skipped <= allowed:
            print(f"{what}: left out, {progress.skipped} of {allowed} allowed", flush=True)
            return
        if progress.steps != step:  # nothing has changed since
            self._gradients(step, index)
        largest = largest_gradients(self.model)
        progress.skipped -= 1
        progress.skipped_of_epoch -= 1
        progress.steps = step - 1
        self._save_state()
        self.background.wait()
        raise UserError(
            f"{what}; largest gradients: {largest}; the state before it is kept: "
            f"{self.state_file.path}; look at these windows, try a smaller --learning_rate, or "
            "allow some such steps by --skip_bad_steps"
        )

    def training_pass(self, x: Tensor, mask: Tensor | None = None) -> CALFOutput:
        """Run the model with the branches and features that the loss needs."""
        return self.run_model(
            x, mask, text_branch=self.loss.needs_text_branch, features=self.loss.needs_features
        )

    def precision(self) -> torch.autocast | nullcontext:
        """The context of mixed precision, where `--amp` asks for it."""
        if self.args.amp == "no":
            return nullcontext()
        return torch.autocast(self.device.type, PRECISIONS[self.args.amp])

    def epoch_seed(self, epoch: int) -> int:
        """The seed of the order of an epoch (1-based)."""
        return self.seed * 100_003 + epoch

    def _seed(self, *where: int | str) -> None:
        """Make what is drawn from here on depend on the run's seed and `where` alone."""
        torch.manual_seed(derived_seed(self.seed, *where))

    def _steps(self) -> int:
        """Steps of an epoch."""
        return batch_count(len(self.train_set), self._step_windows(), self.drop_last)

    def _step_windows(self) -> int:
        """Windows of a step."""
        return self.args.batch_size * self.args.accumulate

    def train_order(self, epoch: int) -> Iterator[Tensor]:
        """Yield the numbers of the windows of each step `[windows]`, in an order that depends on
        seed and epoch alone."""
        return index_batches(
            len(self.train_set),
            self._step_windows(),
            self.device,
            self.epoch_seed(epoch),
            self.drop_last,
        )

    def training_batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """Make the batch of these windows; what is random about it is drawn here."""
        return self.train_set.batch(index)

    def scored_entries(self, batch: tuple[Tensor, ...]) -> Tensor | None:
        """How many entries of each window the supervised loss looks at, where that varies."""
        return None

    def kept(self) -> str:
        """Say what an interrupted training leaves behind."""
        saved = f"{self.state_file.path} is kept: the same command with --resume goes on"
        if self.progress.best is None:
            return f"no epoch was finished, so that there is no checkpoint; {saved}"
        return f"the checkpoint of epoch {self.progress.best.epoch} and {saved}"

    def _is_better(self, record: EpochRecord) -> bool:
        """Whether an epoch is the best so far; of equals, the later one is, as published."""
        if not np.isfinite(record.validation):
            return False
        best = self.progress.best
        if best is None:
            return True
        if self.higher_is_better:
            return record.validation >= best.validation
        return record.validation <= best.validation

    def _print_epoch(self, record: EpochRecord, better: bool) -> None:
        print(
            f"epoch {record.epoch}/{self.args.train_epochs} | train loss {record.train:.4f} | "
            f"validation {self.score_name} {record.validation:.4f} | "
            f"test {self.score_name} {record.test:.4f} | "
            f"lr {record.learning_rate:.2e} | {record.seconds:.1f} s{' | best' if better else ''}",
            flush=True,
        )

    def _save_checkpoint(self) -> None:
        if self.processes.rank > 0:
            return
        notes = {
            "setting": self.setting,
            "arguments": vars(self.args),
            "config": asdict(self.model.config),
            "backbone": self.backbone_notes,
            "epoch": asdict(self.progress.best),
            "epochs": [asdict(record) for record in self.progress.history],
            **self.checkpoint_notes(),
        }
        self.background.submit(
            save_tensors, self.folders.checkpoint, trained_state(self.model), notes
        )

    def _save_state(self) -> None:
        """Have the state of training written, beside what goes on."""
        if self.processes.rank == 0:
            self._note_time()
            tensors, rates = training_state(self.model, self.optimisers, self.total_loss)
            notes = note_progress(self.progress, self.scheduler, rates)
            notes["backbone"] = self.backbone_notes
            self.background.submit(self.state_file.save, tensors, notes)

    def _note_time(self) -> None:
        """Add what passed since the last note to the seconds of the epoch."""
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self._clock = now

    # Testing

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Note signals and obey them between batches: an exception that a signal raises anywhere
        can get lost, in a callback for one. Several processes are left to their launcher.

        Raises:
            Interrupted: a signal came.
        """
        if self.processes.count > 1:
            yield
            return
        with Interrupts() as self.interrupts:
            try:
                yield
            finally:
                self.interrupts = None

    @torch.no_grad()
    def outputs(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Run the temporal branch in evaluation mode, each process on some of the windows.

        Args:
            x, mask: see `models.CALF.Model.forward`.

        Raises:
            Interrupted: a signal came during validation or test.
        """
        if self.interrupts is not None:
            if self.processes.count > 1:
                self._signals = self._own_signals()
                self.processes.all_reduce([self._signals])
            if self._stop_asked():
                self.interrupts.check()
        self.model.eval()
        start, end = self.processes.shard_bounds(len(x))
        part = slice(start, max(end, start + 1))  # a process without a share computes one too
        with self.precision():
            outputs = self.run_model(x[part], None if mask is None else mask[part]).outputs_time
        return self.processes.gather(outputs[: end - start], len(x))

    def eval_indices(self, windows: WindowSet, label: str | None = None) -> Iterator[Tensor]:
        """Go through all windows in order, in large batches with a progress bar if labelled.

        Many channels make fewer windows a batch, so that tokens stay as many.

        Args:
            windows: the split.
            label: what to write before the bar.

        Yields:
            Numbers of windows `[batch]` on the device.
        """
        tokens = CPU_EVAL_TOKENS if self.device.type == "cpu" else GPU_EVAL_TOKENS
        size = max(1, tokens // self.n_channels) * self.processes.count
        indices = index_batches(len(windows), size, self.device)
        if label is None:
            yield from indices
            return
        with progress_bar(label, batch_count(len(windows), size)) as bar:
            for index in indices:
                yield index
                bar.update()

    def finish(self, metrics: dict[str, float], scores: dict[str, float], **notes: object) -> None:
        """Write metrics, record and results file, and print the scores.

        Args:
            metrics: what goes into `metrics.npy`, in its order, and into the record.
            scores: what goes into the results file.
            notes: more for the record.
        """
        self.folders.save_metrics(list(metrics.values()))
        self.folders.save_record(self.record({**metrics, **scores}, **notes))
        self.folders.append_result(scores)
        line = ", ".join(f"{name}:{value:.4g}" for name, value in scores.items())
        print(f"{line}; results in {self.folders.results}")

    def record(self, scores: dict[str, float], **more: object) -> dict:
        """Give the account of the run that goes into `run.json`."""
        best = asdict(self.progress.best) if self.progress.best else None
        epochs = [asdict(record) for record in self.progress.history]
        if self.checkpoint is not None:
            best = self.checkpoint.metadata.get("epoch")
            epochs = self.checkpoint.metadata.get("epochs", [])
        packages = ("torch", "transformers", "peft", "numpy", "pandas", "scikit-learn")
        return {
            "setting": self.setting,
            "scores": scores,
            **more,
            "best_epoch": best,
            "epochs": epochs,
            "training_seconds": sum(epoch["seconds"] for epoch in epochs),
            "seed": self.seed,
            "backbone": self.backbone_notes,
            "word_embeddings": self.words_source,
            "checkpoint": str(self.checkpoint.path if self.checkpoint else self.folders.checkpoint),
            "parameters": self.parameters,
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.processes.count,
            "skipped_steps": self.progress.skipped,
            "versions": {
                "python": platform.python_version(),
                **{package: version(package) for package in packages},
            },
            "started": self.started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": vars(self.args),
            "trained_with": self.trained_with,
        }


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def choose_device(args: Namespace) -> torch.device:
    """Take the GPU that `--gpu` names where there is one, else the CPU.

    Raises:
        UserError: a GPU was asked for by name and is not there.
    """
    if not args.use_gpu:
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if args.gpu < count:
        return torch.device("cuda", args.gpu)
    if count or args.gpu:
        raise UserError(f"--gpu {args.gpu}: GPUs to be seen here, numbered from 0: {count}")
    if "use_gpu" in args.given:
        raise UserError(
            "--use_gpu asks for CUDA, and no GPU is to be seen here: leave it out, or pass "
            "--use_gpu 0, to run on the CPU"
        )
    return torch.device("cpu")


def compiled(model: Model, device: torch.device) -> Callable[..., CALFOutput]:
    """Compile a model, or say why not and give it back as it is."""
    if device.type == "cpu":
        print(
            "--compile: left out, since on the CPU the compiled model is slower than the products "
            "and the dropout that are used without it"
        )
        return model
    if platform.system() == "Windows" or sys.version_info >= (3, 15):
        print("--compile: left out, since PyTorch does not compile here")
        return model
    return torch.compile(model)


def device_name(device: torch.device) -> str:
    """Name a device as a person would."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def learning_rate_schedule(optimiser: Adam, args: Namespace) -> LRScheduler:
    """Make the schedule of the main optimiser, to be stepped once an epoch.

    With `--cos 1` cosine annealing (periodic beyond `--tmax`); else what `--lradj` names: after
    epoch e (1-based) type1 and type3 set lr0 while e < 3, then lr0 * 0.9^(e-3), where type3 takes
    lr0 = 1e-4 whatever the learning rate; type2 sets lr0 * decay_fac^(e-1).
    """
    if args.cos:
        return CosineAnnealingLR(optimiser, T_max=args.tmax, eta_min=COSINE_FLOOR)
    start = 1e-4 / args.learning_rate if args.lradj == "type3" else 1.0

    def factor(after: int) -> float:
        if after == 0:
            return 1.0
        if args.lradj == "type2":
            return args.decay_fac ** (after - 1)
        return start * (1.0 if after < 3 else 0.9 ** (after - 3))

    return LambdaLR(optimiser, factor)


def progress_bar(label: str, total: int) -> tqdm:
    """Make a progress bar with time left; into a file it writes a line only now and then."""
    wait = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=total, desc=label, leave=False, mininterval=wait, delay=wait, dynamic_ncols=True
    )
