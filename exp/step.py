"""One optimisation step: gradient accumulation over micro-batches, one guarded update.

A batch of `--batch_size` times `--accumulate` windows is computed in micro-batches, whose gradients
are summed. The model limits their size: see `models.interface.Objective.training_windows`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from exp.nonfinite import NonFiniteGuard
from exp.processes import Processes, Stopping
from models.interface import Objective, ParameterGroup
from utils.batch import Batch, Weight
from utils.configuration import Configuration
from utils.seeds import derived_seed

COSINE_FLOOR = 1e-8


def micro_batches(
    batch: Batch, largest: int | None, at_least: int = 1
) -> list[tuple[int, Batch, Weight]]:
    """Split a batch into micro-batches of about equal size.

    Args:
        largest: maximum number of windows of a micro-batch; None does not split.
        at_least: minimum number of micro-batches, if there are as many windows.

    Returns:
        Number, windows and weight of each.
    """
    windows = len(batch)
    if largest is None:
        return [(0, batch, Weight())]
    count = min(windows, max(at_least, -(-windows // largest)))
    entries, parts = batch.scored_entries(), []
    for number in range(count):
        rows = slice(windows * number // count, windows * (number + 1) // count)
        fraction = (rows.stop - rows.start) / windows
        scored = fraction if entries is None else entries[rows].sum() / entries.sum().clamp(min=1)
        parts.append((number, batch[rows], Weight(fraction, scored)))
    return parts


class Optimisers:
    """An Adam for each of the model's parameter groups; non-finite updates are skipped.

    Args:
        groups: see `models.interface.Objective.parameter_groups`.
        learning_rate: for the groups without a fixed one.
        fp16: whether gradients are scaled for half precision.

    Attributes:
        by_name: the optimisers. main: the one whose learning rate is scheduled.
        gradient_norm: L2 norm of all gradients of the last step, `[]` on the device.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        learning_rate: float,
        device: torch.device,
        fp16: bool = False,
    ):
        fused = device.type in ("cpu", "cuda")
        self.by_name = {
            group.name: Adam(group.parameters, lr=group.learning_rate or learning_rate, fused=fused)
            for group in groups
        }
        self.main = next(iter(self.by_name.values()))
        self.parameters = [p for group in groups for p in group.parameters]
        self.scaler = torch.amp.GradScaler(device.type, enabled=fp16)

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self, loss: Tensor, frozen: Tensor) -> Tensor:
        """Update the parameters, unless loss or gradient is not finite.

        Args:
            loss: of the whole batch, detached.
            frozen: whether to skip the update in any case, `[]` on the device.

        Returns:
            Whether loss or gradient is not finite, `[]` on the device; in half precision whether
            the loss is, as the scaler checks the gradients.
        """
        nonfinite = ~torch.isfinite(loss)
        self.gradient_norm = get_total_norm(self.gradients())
        if self.scaler.is_enabled():
            self.gradient_norm = self.gradient_norm / self.scaler.get_scale()
        else:
            nonfinite = nonfinite | ~torch.isfinite(self.gradient_norm)
        skip = (nonfinite | frozen).float()
        for optimiser in self.by_name.values():
            if self.scaler.is_enabled():
                self.scaler.step(optimiser)
            else:
                optimiser.found_inf = skip  # the fused kernel then skips its update
                optimiser.step()
        if self.scaler.is_enabled():
            self.scaler.update()
        return nonfinite

    def gradients(self, of_all: bool = False) -> list[Tensor]:
        """Return the gradients; with `of_all`, zeros for parameters without one."""
        for p in self.parameters if of_all else ():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        return [p.grad for p in self.parameters if p.grad is not None]


@dataclass
class TrainStep:
    """Takes optimisation steps.

    Attributes:
        autocast: makes the context of mixed precision.
        signals: which signals any process received, reduced with the last gradients; None for a
            single process.
        gradient_norms: sum over the updates of an epoch, `[1]` on the device.
        statistics: of batch normalisation, which a skipped step must not change.
    """

    objective: Objective
    optimisers: Optimisers
    guard: NonFiniteGuard
    processes: Processes
    stopping: Stopping
    autocast: Callable[[], AbstractContextManager]
    signals: Tensor | None = None

    def __post_init__(self) -> None:
        device = self.guard.skipped.device
        self.gradient_norms = torch.zeros(1, dtype=torch.float64, device=device)
        modules = self.objective.model.modules()
        self.statistics = [v for m in modules if isinstance(m, _BatchNorm) for v in m.buffers()]

    def gradients(self, batch: Batch, *where: int) -> Tensor:
        """Compute the gradients of a batch over all micro-batches and processes; return its losses
        `[1 + loss_names]`, the total first.

        Args:
            where: seed, epoch and step; they and the number of the micro-batch seed dropout.
        """
        self.optimisers.zero_grad()
        names = ("total", *self.objective.loss_names)
        losses = torch.zeros(len(names), device=batch.x.device)
        # on CPUs the same micro-batches as in a single process, on GPUs work for every process
        at_least = self.processes.count if batch.x.device.type == "cuda" else 1
        parts = micro_batches(batch, self.objective.training_windows, at_least)
        for number, part, weight in self.processes.shard(parts):
            torch.manual_seed(derived_seed(*where, number))
            with self.autocast():
                terms = self.objective.losses(part, weight)
            self.optimisers.scaler.scale(terms["total"]).backward()
            losses += torch.stack([terms[name].detach() for name in names])
        if self.processes.count > 1:
            self.signals = self.stopping.flags()
            gradients = self.optimisers.gradients(of_all=True)
            self.processes.all_reduce([*gradients, losses, self.signals])
        return losses

    def __call__(self, batch: Batch, *where: int) -> Tensor:
        """Take a step; return the losses, as `gradients` does. If loss or gradient is not finite,
        nothing is updated, running statistics neither, and the losses are zeros."""
        before = [values.clone() for values in self.statistics]
        losses = self.gradients(batch, *where)
        frozen = self.guard.frozen()
        nonfinite = self.optimisers.step(losses[0], frozen)
        self.guard.record(where[-1], nonfinite)
        skipped = nonfinite | frozen
        for values, earlier in zip(self.statistics, before, strict=True):
            values.copy_(torch.where(skipped, earlier, values))
        # half precision's scaler skips updates of infinite gradients by itself
        norm = self.optimisers.gradient_norm
        self.gradient_norms += torch.where(skipped | ~torch.isfinite(norm), 0.0, norm)
        return torch.where(skipped, 0.0, losses)


def learning_rate_schedule(optimiser: Optimizer, args: Configuration) -> LRScheduler:
    """Make the learning-rate schedule of the main optimiser, stepped once per epoch.

    With `--cos 1` cosine annealing (periodic beyond `--tmax`); else what `--lradj` names: after
    epoch e (1-based) type1 and type3 set lr0 while e < 3, then lr0 * 0.9^(e-3), where type3 takes
    lr0 = 1e-4 whatever the learning rate; type2 sets lr0 * decay_fac^(e-1), type4
    lr0 * decay_fac^e.
    """
    if args.cos:
        return CosineAnnealingLR(optimiser, T_max=args.tmax, eta_min=COSINE_FLOOR)
    start = 1e-4 / args.learning_rate if args.lradj == "type3" else 1.0

    def factor(epochs: int) -> float:
        if epochs == 0:
            return 1.0
        if args.lradj == "type2":
            return args.decay_fac ** (epochs - 1)
        if args.lradj == "type4":
            return args.decay_fac**epochs
        return start * (1.0 if epochs < 3 else 0.9 ** (epochs - 3))

    return LambdaLR(optimiser, factor)
