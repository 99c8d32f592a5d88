"""Naive forecasts to compare with."""

import torch
from torch import Tensor


def last_value(x: Tensor, pred_len: int) -> Tensor:
    """Repeat the last step of `x` `[batch, length, channels]` `pred_len` times."""
    return x[:, -1:].expand(-1, pred_len, -1)


def seasonal_naive(x: Tensor, pred_len: int, period: int) -> Tensor:
    """Repeat the last `period` steps of `x` `[batch, length, channels]` over `pred_len` steps.

    Raises:
        ValueError: `x` is shorter than `period`.
    """
    if x.shape[1] < period:
        raise ValueError(f"{x.shape[1]} steps are shorter than a period of {period}")
    phase = torch.arange(pred_len, device=x.device) % period
    return x[:, -period:][:, phase]
