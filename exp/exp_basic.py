"""What all experiments share: building the model, the training loop, early stopping, records."""

import platform
import random
import sys
import time
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
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
    save_checkpoint,
)
from layers.backbone import check_backbone, describe_backbone, load_backbone
from models.CALF import CALFConfig, CALFOutput, Model
from pca import principal_word_embeddings
from utils.errors import UserError
from utils.losses import CALFLoss
from utils.results import RunFolders, settings_string
from utils.word_embeddings import DEFAULT_PATH, load_word_embeddings

PROJECTION_LEARNING_RATE = 1e-4
COSINE_FLOOR = 1e-8
EVAL_TOKENS = 4096  # channels x windows of an evaluation batch


class WindowSet(Protocol):
    """A split: numbered windows, gathered by number."""

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """Gather the windows `index` `[batch]`; the first tensor is the model's input."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch in numbers: errors, the learning rate it was trained with, and seconds."""

    epoch: int
    train: float
    validation: float
    test: float
    learning_rate: float
    seconds: float


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
        self.folders = RunFolders(self.setting, args.checkpoints)
        self.seed = args.seed + iteration
        seed_everything(self.seed)
        self.device = choose_device(args)
        self.loss = CALFLoss.of(args)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.checkpoint: Checkpoint | None = None
        if not args.is_training:
            self.checkpoint = read_checkpoint(args.checkpoint or self.folders.checkpoint)
        self.prepare_data()
        self.model = self._build_model()
        if self.checkpoint is not None:
            restore_model(self.model, self.checkpoint)
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
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
    def batch_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Compute the total loss of a batch, a scalar."""

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

        Raises:
            UserError: the validation score was never a number.
        """
        args = self.args
        print(f">>> training {self.setting}")
        main = Adam(self.model.main_parameters(), lr=args.learning_rate)
        projections = Adam(self.model.projection_parameters(), lr=PROJECTION_LEARNING_RATE)
        scheduler = learning_rate_schedule(main, args)
        waited = 0
        for epoch in range(1, args.train_epochs + 1):
            start = time.perf_counter()
            train_loss = self._train_epoch(epoch, (main, projections))
            record = EpochRecord(
                epoch,
                train_loss,
                self.validation_score(epoch),
                self.test_score(),
                main.param_groups[0]["lr"],
                time.perf_counter() - start,
            )
            self.history.append(record)
            better = self._is_better(record)
            self._print_epoch(record, better)
            if better:
                waited = 0
                self.best = record
                self._save_checkpoint()
            else:
                waited += 1
                if waited >= args.patience:
                    print(f"no better for {waited} epochs: stopped early")
                    break
            scheduler.step()
        if self.best is None:
            raise UserError(
                "the validation error was never a number, so that no model was kept: "
                "try a smaller --learning_rate"
            )
        restore_model(self.model, read_checkpoint(self.folders.checkpoint))

    def training_pass(self, x: Tensor, mask: Tensor | None = None) -> CALFOutput:
        """Run the model with the branches and features that the loss needs."""
        return self.model(
            x, mask, text_branch=self.loss.needs_text_branch, features=self.loss.needs_features
        )

    def epoch_seed(self, epoch: int) -> int:
        """The seed of everything random about the batches of an epoch (1-based)."""
        return self.seed * 100_003 + epoch

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of an epoch in an order that depends on seed and epoch alone."""
        for index in index_batches(
            len(self.train_set),
            self.args.batch_size,
            self.device,
            self.epoch_seed(epoch),
            self.drop_last,
        ):
            yield self.train_set.batch(index)

    def kept(self) -> str:
        """Say what an interrupted training leaves behind."""
        if self.best is None:
            return "no epoch was finished, so that no checkpoint is kept"
        return f"the checkpoint of epoch {self.best.epoch} is kept: {self.folders.checkpoint}"

    def _train_epoch(self, epoch: int, optimisers: tuple[Adam, ...]) -> float:
        """Run one epoch and return the mean loss of its batches."""
        self.model.train()
        total = torch.zeros((), device=self.device)
        steps = batch_count(len(self.train_set), self.args.batch_size, self.drop_last)
        bar = progress(f"epoch {epoch}/{self.args.train_epochs}", steps)
        with bar:
            for step, batch in enumerate(self.train_batches(epoch), start=1):
                for optimiser in optimisers:
                    optimiser.zero_grad(set_to_none=True)
                loss = self.batch_loss(batch)
                loss.backward()
                for optimiser in optimisers:
                    optimiser.step()
                total += loss.detach()
                if bar.update():
                    bar.set_postfix_str(f"loss {total.item() / step:.4f}")
        return total.item() / steps

    def _is_better(self, record: EpochRecord) -> bool:
        """Whether an epoch is the best so far; of equals, the later one is, as published."""
        if not np.isfinite(record.validation):
            return False
        if self.best is None:
            return True
        if self.higher_is_better:
            return record.validation >= self.best.validation
        return record.validation <= self.best.validation

    def _print_epoch(self, record: EpochRecord, better: bool) -> None:
        print(
            f"epoch {record.epoch}/{self.args.train_epochs} | train loss {record.train:.4f} | "
            f"validation {self.score_name} {record.validation:.4f} | "
            f"test {self.score_name} {record.test:.4f} | "
            f"lr {record.learning_rate:.2e} | {record.seconds:.1f} s{' | best' if better else ''}",
            flush=True,
        )

    def _save_checkpoint(self) -> None:
        notes = {
            "setting": self.setting,
            "arguments": vars(self.args),
            "config": asdict(self.model.config),
            "backbone": self.backbone_notes,
            "epoch": asdict(self.best),
            "epochs": [asdict(record) for record in self.history],
            **self.checkpoint_notes(),
        }
        save_checkpoint(self.folders.checkpoint, self.model, notes)

    # Testing

    def eval_indices(self, windows: WindowSet, label: str | None = None) -> Iterator[Tensor]:
        """Go through all windows in order, in large batches with a progress bar if labelled.

        Many channels make fewer windows a batch, so that tokens stay as many.

        Args:
            windows: the split.
            label: what to write before the bar.

        Yields:
            Numbers of windows `[batch]` on the device.
        """
        size = max(1, EVAL_TOKENS // self.n_channels)
        indices = index_batches(len(windows), size, self.device)
        if label is None:
            yield from indices
            return
        with progress(label, batch_count(len(windows), size)) as bar:
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
        best = asdict(self.best) if self.best else None
        epochs = [asdict(record) for record in self.history]
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


def progress(label: str, total: int) -> tqdm:
    """Make a progress bar with time left; into a file it writes a line only now and then."""
    wait = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=total, desc=label, leave=False, mininterval=wait, delay=wait, dynamic_ncols=True
    )
