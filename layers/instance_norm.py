"""Standardisation of each instance and channel over its own look-back window."""

import torch
from torch import Tensor

EPS = 1e-5


def standardise(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Standardise every window over time (`docs/method.md`, section 1).

    Args:
        x: windows `[batch, length, channels]`; masked entries are already 0.
        mask: 1 where an entry is observed, 0 where it is masked, same shape as `x`. With a mask,
            the mean is over all entries, zeros included, and the scale over the observed ones,
            as in the authors' code.

    Returns:
        The standardised windows `[batch, length, channels]`, and the mean and scale
        `[batch, 1, channels]` that `denormalise` takes. Mean and scale carry no gradient.
    """
    mean = x.mean(dim=1, keepdim=True).detach()
    x = x - mean
    if mask is None:
        scale = torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + EPS).detach()
    else:
        x = x.masked_fill(mask == 0, 0)
        observed = mask.sum(dim=1, keepdim=True).clamp(min=1)
        scale = torch.sqrt(x.square().sum(dim=1, keepdim=True) / observed + EPS).detach()
    return x / scale, mean, scale


def denormalise(y: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Map outputs `[batch, steps, channels]` back to the units of the model's input."""
    return y * scale + mean
