"""Dropout, and the random draws behind it on the CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

LEVELS = 2**16  # a probability on the CPU is a multiple of 1 / LEVELS


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Drop entries of `x` with probability `p` in training, as `torch.nn.functional.dropout` does.

    On the CPU PyTorch draws one number an entry, one after another: there `FastDropout` draws
    four at a time.
    """
    if not training or p == 0:
        return x
    if x.device.type != "cpu" or p > 1 - 1 / LEVELS or torch.compiler.is_compiling():
        return F.dropout(x, p)
    return FastDropout.apply(x, p)


def draw_kept(
    shape: torch.Size, p: float, generator: torch.Generator | None = None
) -> tuple[Tensor, float]:
    """Draw which entries are kept.

    Four 16-bit numbers come from each draw, several times as fast as one number a draw; the
    probability is rounded to a 65,536th.

    Returns:
        1 where an entry is kept, else 0, `shape`, uint8; and what kept entries are multiplied by,
        so that the mean stays.
    """
    count = shape.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=generator)
    draws = draws.view(torch.int16)[:count].view(shape)
    dropped = round(p * LEVELS)
    kept = torch.empty(shape, dtype=torch.uint8)  # not bool, of which products are slow
    torch.ge(draws, dropped - LEVELS // 2, out=kept)
    return kept, LEVELS / (LEVELS - dropped)


class FastDropout(torch.autograd.Function):
    """Dropout on the CPU."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, p: float) -> Tensor:
        kept, ctx.gain = draw_kept(x.shape, p)
        ctx.save_for_backward(kept)
        return (x * kept).mul_(ctx.gain)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(ctx.gain), None
