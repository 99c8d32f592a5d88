"""Ways to compute a model that must not change its results."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from layers.fast_cpu import install


def assert_every_way_agrees(model: nn.Module, outputs: Callable[[], list[Tensor]]) -> None:
    """Compare outputs and gradients of a model: plain, recomputed, and on fast modules, to 1e-5.

    Dropout is off. Outputs are compared in training and in evaluation, with and without gradients.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    expected = None
    for way in (None, lambda: model.grad_checkpoint(True), lambda: install(model)):
        if way is not None:
            assert way() != 0
        for training in (True, False):
            model.train(training).zero_grad()
            values = outputs()
            sum(value.square().mean() for value in values).backward()
            with torch.no_grad():
                again = outputs()
            gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            found = [*(value.detach() for value in values), *again, *gradients]
            expected = expected or found
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
