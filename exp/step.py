"""One optimisation step: gradient accumulation over micro-batches, one guarded update.

A batch of `--batch_size` times `--accumulate` windows is computed in micro-batches, whose gradients
are summed. The model limits their size: see `models.interface.Objective.training_windows`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from exp.processes import Processes
from models.interface import Objective
from utils.batch import Batch, Weight
from utils.configuration import Configuration
from utils.seeds import derived_seed

COSINE_FLOOR = 1e-8


def micro_batches(
    batch: Batch, largest: int | None, at_least: int = 1
) -> list[tuple[int, Batch, Weight]]:
    """Split a batch into micro-batches of about equal size: number, windows and weight of each.

    Args:
        largest: maximum number of windows of a micro-batch; None does not split.
        at_least: minimum number of micro-batches, if there are as many windows.
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


class TrainStep:
    """Takes optimisation steps: the gradients of a batch, then an Adam for each of the model's
    parameter groups. `autocast` makes the context of mixed precision.

    Attributes:
        optimisers: by name of the group; the learning rate of the first one is scheduled.
        schedule: of that, stepped once per epoch.
        scaler: of gradients in half precision.
        sums: over the updates of an epoch, on the device: `losses` `[1 + loss_names]`, the total
            first, and `gradient_norms` `[1]`.
    """

    def __init__(
        self,
        objective: Objective,
        args: Configuration,
        processes: Processes,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager],
    ):
        self.objective, self.processes, self.autocast = objective, processes, autocast
        groups, fused = objective.parameter_groups(), device.type in ("cpu", "cuda")
        self.parameters = [p for group in groups for p in group.parameters]
        self.optimisers = {
            g.name: Adam(g.parameters, lr=g.learning_rate or args.learning_rate, fused=fused)
            for g in groups
        }
        self.schedule = learning_rate_schedule(next(iter(self.optimisers.values())), args)
        self.scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
        self.sums = {
            "losses": torch.zeros(1 + len(objective.loss_names), device=device),
            "gradient_norms": torch.zeros(1, dtype=torch.float64, device=device),
        }
        # of batch normalisation, which a skipped step must not change
        norms = (m for m in objective.model.modules() if isinstance(m, _BatchNorm))
        self.statistics = [values for norm in norms for values in norm.buffers()]

    def __call__(self, batch: Batch, *where: int) -> bool:
        """Take a step, and add its losses to the sums. If loss or gradient is not finite, nothing
        is updated, running statistics neither; returns whether there was an update.

        Args:
            where: seed, epoch and step; they and the number of the micro-batch seed dropout.
        """
        before = [values.clone() for values in self.statistics]
        losses = self.gradients(batch, *where)
        norm = self.update(losses[0])
        if norm is None:
            for values, earlier in zip(self.statistics, before, strict=True):
                values.copy_(earlier)
            return False
        self.sums["losses"] += losses
        # half precision's scaler skips updates of infinite gradients
        self.sums["gradient_norms"] += torch.where(torch.isfinite(norm), norm, 0.0)
        return True

    def gradients(self, batch: Batch, *where: int) -> Tensor:
        """Compute the gradients of a batch over all micro-batches and processes; return its losses
        `[1 + loss_names]`, the total first."""
        for p in self.parameters:
            p.grad = None
        names = ("total", *self.objective.loss_names)
        losses = torch.zeros(len(names), device=batch.x.device)
        # on CPUs the same micro-batches as in a single process, on GPUs work for every process
        at_least = self.processes.count if batch.x.device.type == "cuda" else 1
        parts = micro_batches(batch, self.objective.training_windows, at_least)
        for number, part, weight in self.processes.shard(parts):
            torch.manual_seed(derived_seed(*where, number))
            with self.autocast():
                terms = self.objective.losses(part, weight)
            self.scaler.scale(terms["total"]).backward()
            losses += torch.stack([terms[name].detach() for name in names])
        if self.processes.count > 1:
            for p in self.parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            gradients = [p.grad for p in self.parameters]
            self.processes.all_reduce([*gradients, losses])
        return losses

    def update(self, loss: Tensor) -> Tensor | None:
        """Update the parameters, unless the loss of the batch or a gradient is not finite; in half
        precision the scaler checks the gradients.

        Returns:
            The L2 norm of all gradients, `[]` on the device; None if the loss is not finite, or,
            but for half precision, the norm.
        """
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        scales = self.scaler.is_enabled()
        norm = norm / self.scaler.get_scale()  # 1 but for half precision
        finite = torch.isfinite(loss if scales else loss + norm).item()
        if finite or scales:
            for optimiser in self.optimisers.values():
                self.scaler.step(optimiser)
            self.scaler.update()
        return norm if finite else None

    def end_epoch(self, last: bool) -> None:
        """Begin the sums anew, and step the schedule, unless the epoch was the last one."""
        for sums in self.sums.values():
            sums.zero_()
        if not last:
            self.schedule.step()


def largest_gradients(model: nn.Module) -> str:
    """Name the three parameters with the largest gradient norms, non-finite ones first."""
    found = [
        (name, p.grad.norm().item()) for name, p in model.named_parameters() if p.grad is not None
    ]
    found.sort(key=lambda pair: pair[1] if pair[1] < inf else inf, reverse=True)
    return ", ".join(f"{name} ({norm:.3g})" for name, norm in found[:3])


def learning_rate_schedule(optimiser: Optimizer, args: Configuration) -> LRScheduler:
    """Make the learning-rate schedule of the main optimiser, stepped once per epoch.

    With `--cos 1` cosine annealing (periodic beyond `--tmax`); else what `--lradj` names: type3 is
    type1 with a learning rate of 1e-4, whatever the option says.
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
