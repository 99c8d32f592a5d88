"""Covariates as tokens of models whose tokens are look-backs (`docs/method.md`, section 12)."""

import torch
from torch import Tensor, nn

LEAST_SPREAD = 1.0  # of a history, in the spread of the training rows


def standardise_by_history(values: Tensor, seq_len: int) -> Tensor:
    """Standardise covariates `[batch, steps, covariates]` by their history, the first `seq_len`
    steps. One that varies less than the training rows, whose spread is 1, is divided by that
    spread: so an event that the look-back lacks keeps its size."""
    history = values[:, :seq_len]
    scale = history.std(dim=1, keepdim=True, unbiased=False).clamp(min=LEAST_SPREAD)
    return (values - history.mean(dim=1, keepdim=True)) / scale


def with_covariates(
    tokens: Tensor,
    past: Tensor | None,
    future: Tensor | None,
    linear: nn.Linear,
    linear_ahead: nn.Linear | None,
) -> Tensor:
    """Put the tokens of covariates before those of the targets, which causal attention lets see
    them.

    Args:
        tokens: of the targets, `[batch, targets, d_model]`.
        past: known up to now, `[batch, length, covariates]`.
        future: known ahead, `[batch, length + horizon, covariates]`.
        linear: embeds `length` steps, as of the targets. linear_ahead: `length + horizon` steps.
    """
    before = []
    for values, embed in ((future, linear_ahead), (past, linear)):
        if values is not None:
            series = standardise_by_history(values, linear.in_features)
            before.append(embed(series.transpose(1, 2)))
    return torch.cat((*before, tokens), dim=1) if before else tokens
