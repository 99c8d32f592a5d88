"""Drop rates and gradients of dropout from 16-bit draws."""

import pytest
import torch
from torch import nn

from layers.fast_cpu import install
from layers.fast_cpu.dropout import LEVELS


def fast_dropout(p: float, **options) -> nn.Dropout:
    module = nn.Dropout(p, **options)
    assert install(module) == 1
    return module


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(p):
    torch.manual_seed(0)
    x = torch.ones(400, 1001, requires_grad=True)
    module = fast_dropout(p)
    y = module(x)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.004)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    scale = 1 / (1 - round(p * LEVELS) / LEVELS)
    assert torch.allclose(y[y != 0], torch.tensor(scale))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y)
    assert not torch.equal(module(x), y)
    torch.manual_seed(0)
    assert torch.equal(module(x), y)


def test_dropout_of_nothing_and_of_all():
    x = torch.randn(5)
    assert torch.equal(fast_dropout(0.5).eval()(x), x)
    assert torch.equal(fast_dropout(0.0)(x), x)
    assert not fast_dropout(1.0)(x).any()
    assert fast_dropout(0.5)(torch.empty(0, 3)).shape == (0, 3)


def test_dropout_in_place_is_pytorchs():
    x = torch.ones(1000)
    assert fast_dropout(0.5, inplace=True)(x) is x
    assert (x == 0).any()
