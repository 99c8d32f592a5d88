"""Tokens of covariates: their scale, and their place before those of the targets."""

import torch
from torch import nn

from layers.covariates import standardise_by_history, with_covariates


def test_a_covariate_is_standardised_by_its_own_history():
    """A restless history by its spread; one that is calm or constant by the training rows', so that
    the first event after it keeps its size."""
    values = torch.randn(3, 30, 3, dtype=torch.float64)
    history = values[:, :24]
    values[..., 0] = (
        5 * (values[..., 0] - history[..., :1].mean(1)) / history[..., 0].std(1)[:, None]
    )
    values[..., 1] = 0.001 * values[..., 1] + 7
    values[..., 2] = torch.cat((torch.zeros(3, 24), torch.ones(3, 6)), dim=1)
    found = standardise_by_history(values, 24)
    torch.testing.assert_close(found[:, :24].mean(1), torch.zeros(3, 3, dtype=torch.float64))
    spread = found[:, :24].std(1, unbiased=False)
    torch.testing.assert_close(spread[:, 0], torch.ones(3, dtype=torch.float64))
    assert (spread[:, 1] < 0.002).all()
    assert torch.equal(found[..., 2], values[..., 2])
    torch.testing.assert_close(standardise_by_history(values + 3, 24), found)


def test_tokens_stand_before_those_of_the_targets():
    linear, ahead = nn.Linear(24, 8), nn.Linear(30, 8)
    tokens, past, future = torch.randn(2, 3, 8), torch.randn(2, 24, 2), torch.randn(2, 30, 1)
    found = with_covariates(tokens, past, future, linear, ahead)
    torch.testing.assert_close(found[:, 3:], tokens, rtol=0, atol=0)
    first = ahead(standardise_by_history(future, 24).transpose(1, 2))
    torch.testing.assert_close(found[:, :1], first)
    assert with_covariates(tokens, None, None, linear, None) is tokens
