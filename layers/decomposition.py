"""Decomposition of a series into trend and seasonal part."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def moving_average(x: Tensor, kernel: int) -> Tensor:
    """Average `x` `[batch, length, channels]` over a centred window of `kernel` steps.

    The ends are padded by repeating the first and the last value, so that the length is kept. Of
    an even kernel, the longer half lies behind the step.
    """
    padded = F.pad(rearrange(x, "b l c -> b c l"), ((kernel - 1) // 2, kernel // 2), "replicate")
    return rearrange(F.avg_pool1d(padded, kernel, stride=1), "b c l -> b l c")


def decompose(x: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """Split a series into seasonal part and trend (Autoformer, arXiv 2106.13008, equation 1).

    Args:
        x: `[batch, length, channels]`.
        kernel: steps of the moving average.

    Returns:
        `(seasonal, trend)`, which add up to `x`, each of its shape.
    """
    trend = moving_average(x, kernel)
    return x - trend, trend
