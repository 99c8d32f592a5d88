"""One optimisation step: the gradients of a batch, pass by pass, and the update of both optimisers.

A batch of `--batch_size` times `--accumulate` windows is computed in passes, whose gradients add up
to those of the whole. On the CPU a pass holds no more tokens than its cache likes, so that memory
does not grow with batch and channels; on a GPU it holds `--batch_size` windows.
"""

import hashlib
from argparse import Namespace

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Adam

from models.CALF import Model
from utils.errors import UserError
from utils.losses import Share

CPU_PASS_TOKENS = 1024  # channels x windows of a training pass on the CPU
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def derived_seed(*numbers: int | str) -> int:
    """Derive a seed from numbers and names; near ones give unrelated seeds."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def passes(
    batch: tuple[Tensor, ...],
    n_channels: int,
    batch_size: int,
    at_least: int = 1,
    scored: Tensor | None = None,
) -> list[tuple[int, tuple[Tensor, ...], Share]]:
    """Cut a batch into passes of about equal size.

    Args:
        batch: tensors `[windows, ..]`. n_channels: tokens of a window.
        batch_size: most windows of a pass. at_least: passes, where there are as many windows.
        scored: entries of each window that the supervised loss looks at, `[windows]`, where their
            number varies.

    Returns:
        Number, tensors and share of each pass.
    """
    windows = len(batch[0])
    most = batch_size
    if batch[0].device.type == "cpu":
        most = min(most, max(1, CPU_PASS_TOKENS // n_channels))
    count = min(windows, max(at_least, -(-windows // most)))
    cut = []
    for number in range(count):
        part = slice(windows * number // count, windows * (number + 1) // count)
        share = (part.stop - part.start) / windows
        of_scored = share if scored is None else scored[part].sum() / scored.sum()
        cut.append((number, tuple(tensor[part] for tensor in batch), Share(share, of_scored)))
    return cut


class Optimisers:
    """The two Adam optimisers of the method, and what guards them against numbers gone wrong.

    A step whose loss or gradient is not finite changes nothing; whether it did is known on the
    device, so that no step waits for the host.

    Args:
        model: its trained parameters are updated. args: learning rate and precision.
        projection_rate: learning rate of the second optimiser.
    """

    def __init__(self, model: Model, args: Namespace, projection_rate: float):
        device = next(model.parameters()).device
        fused = device.type in ("cpu", "cuda")
        self.main = Adam(model.main_parameters(), lr=args.learning_rate, fused=fused)
        self.projections = Adam(model.projection_parameters(), lr=projection_rate, fused=fused)
        self.both = (self.main, self.projections)
        self.scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimiser in self.both:
            optimiser.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a pass."""
        self.scaler.scale(loss).backward()

    def step(self, loss: Tensor, stopped: Tensor) -> Tensor:
        """Update the parameters, unless loss or gradient is not finite.

        Args:
            loss: of the whole batch, detached.
            stopped: whether to update nothing in any case, `[]` on the device.

        Returns:
            Whether loss or gradient is not finite, `[]` on the device. In half precision only the
            loss counts: the scaler looks after the gradients.
        """
        bad = ~torch.isfinite(loss)
        if not self.scaler.is_enabled():
            bad = bad | ~torch.isfinite(get_total_norm(self.gradients()))
        left_out = (bad | stopped).float()
        for optimiser in self.both:
            if self.scaler.is_enabled():
                self.scaler.step(optimiser)
            else:
                optimiser.found_inf = left_out  # the fused kernel then leaves out its update
                optimiser.step()
        if self.scaler.is_enabled():
            self.scaler.update()
        return bad

    def all_gradients(self) -> list[Tensor]:
        """The gradients of all parameters: zeros where there are none yet."""
        groups = [group for optimiser in self.both for group in optimiser.param_groups]
        for p in (p for group in groups for p in group["params"]):
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        return self.gradients()

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        groups = [group for optimiser in self.both for group in optimiser.param_groups]
        return [p.grad for group in groups for p in group["params"] if p.grad is not None]


class BadSteps:
    """Counts the steps that were left out, on the device: no step waits for the host to look.

    Once they are more than `allowed`, `stopped` keeps all later steps from changing anything.

    Args:
        device: where the losses are. allowed: how many more may be left out.
    """

    def __init__(self, device: torch.device, allowed: int):
        self.count, self.last = torch.zeros(2, dtype=torch.long, device=device)
        self.allowed = allowed

    @property
    def stopped(self) -> Tensor:
        """Whether there were too many, `[]`."""
        return self.count > self.allowed

    def note(self, step: int, bad: Tensor) -> None:
        """Note whether a step was bad; those after the one too many are not noted."""
        bad = bad & ~self.stopped
        self.last += bad * (step - self.last)
        self.count += bad


def check_precision(args: Namespace, device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    Raises:
        UserError: fp16 on a CPU, or bf16 on a GPU without it.
    """
    if args.amp == "fp16" and device.type == "cpu":
        raise UserError("--amp fp16 is for GPUs: use --amp bf16, or leave it out, on the CPU")
    if args.amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError("--amp bf16: this GPU has no bfloat16: use --amp fp16")


def largest_gradients(model: Model, count: int = 3) -> str:
    """Name the parameters with the largest gradients, those that are not finite first."""
    norms = {
        name: parameter.grad.norm().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }

    def size(name: str) -> float:
        return norms[name] if norms[name] < float("inf") else float("inf")

    names = sorted(norms, key=size, reverse=True)[:count]
    return ", ".join(f"{name} ({norms[name]:.3g})" for name in names)
