"""The guard against non-finite losses and gradients."""

from math import inf

import torch
from torch import Tensor, nn

from data_provider.batches import TrainingOrder
from utils.progress import Progress


class NonFiniteGuard:
    """Counts skipped updates on the device, so that no step waits for the host.

    Once more than `allowed` would be skipped, no further step updates anything: the model stays as
    it was before that step, until `check` is called.

    Args:
        device: of the losses. allowed: number of updates that may be skipped.
        interval: steps between two calls of `check`.

    Attributes:
        skipped, last, refused: on the device: the number of skipped updates, the step of the last
            one, and the step of the first one beyond `allowed`.
    """

    def __init__(self, device: torch.device, allowed: int, interval: int = 1):
        self.allowed, self.interval = allowed, interval
        self.skipped, self.last, self.refused = torch.zeros(3, dtype=torch.long, device=device)

    def restart(self, skipped: int) -> None:
        """Set the count to `skipped`, and allow updates again."""
        self.skipped.fill_(skipped)
        self.last.zero_()
        self.refused.zero_()

    def frozen(self) -> Tensor:
        """Whether there was one more than allowed, so that nothing is updated, `[]`."""
        return self.refused > 0

    def record(self, step: int, nonfinite: Tensor) -> None:
        """Count the update of `step` if it was skipped."""
        nonfinite = nonfinite & ~self.frozen()
        refused = nonfinite & (self.skipped >= self.allowed)
        skipped = nonfinite & ~refused
        self.refused += refused * step
        self.skipped += skipped
        self.last += skipped * (step - self.last)

    def check(self, progress: Progress, order: TrainingOrder) -> tuple[int, str]:
        """Read the counters, update those of `progress`, and print the last skipped update.

        Returns:
            The first step beyond `allowed` and a description of it; 0 if there is none.
        """
        skipped, last, refused = torch.stack([self.skipped, self.last, self.refused]).tolist()
        new = skipped - progress.skipped
        progress.skipped_of_epoch += new
        progress.skipped = skipped
        step = refused or (last if new else 0)
        if not step:
            return 0, ""
        windows = order.windows(progress.epoch, step)
        shown = ", ".join(map(str, windows[:8].tolist())) + (", …" if len(windows) > 8 else "")
        where = f"epoch {progress.epoch}, step {step} (windows {shown})"
        if not refused:
            allowed = f"{skipped} of {self.allowed} allowed"
            print(f"loss or gradient not finite at {where}: skipped, {allowed}", flush=True)
        return refused, where


def largest_gradients(model: nn.Module, count: int = 3) -> str:
    """Name the parameters with the largest gradient norms, non-finite ones first."""
    norms = {
        name: parameter.grad.norm().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    names = sorted(norms, key=lambda name: norms[name] if norms[name] < inf else inf, reverse=True)
    return ", ".join(f"{name} ({norms[name]:.3g})" for name in names[:count])
