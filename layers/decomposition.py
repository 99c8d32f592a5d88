"""Decomposition of a series into trend and seasonal part."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def moving_average(x: Tensor, kernel: int) -> Tensor:
    """Average `x` `[batch, length, channels]` over a centred window of `kernel` steps; the ends are
    padded by the first and the last value. Of an even kernel, the longer half lies behind."""
    padded = F.pad(rearrange(x, "b l c -> b c l"), ((kernel - 1) // 2, kernel // 2), "replicate")
    return rearrange(F.avg_pool1d(padded, kernel, stride=1), "b c l -> b l c")


def decompose(x: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Split `x` `[batch, length, channels]` into seasonal part and trend, a moving average over
    `kernel` steps: `(seasonal, trend)`, each of its shape (Autoformer, arXiv 2106.13008, (1))."""
    trend = moving_average(x, kernel)
    return x - trend, trend
