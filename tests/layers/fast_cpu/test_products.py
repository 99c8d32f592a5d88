"""The products and the modules made of them against PyTorch's own, to 1e-5."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu import install, products


def test_a_frozen_weight_changed_before_backward_is_refused():
    module = Conv1D(8, 4).requires_grad_(False)
    install(module)
    y = module(torch.randn(3, 4, requires_grad=True))
    module.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_output_of_a_fast_projection_may_be_changed(frozen):
    torch.manual_seed(0)
    layer, x = nn.Sequential(nn.Linear(8, 8)), torch.randn(2, 5, 8, requires_grad=True)
    layer.requires_grad_(not frozen)

    def gradient() -> torch.Tensor:
        y = layer(x)
        y += x
        y[:, 0] = 0
        (found,) = torch.autograd.grad(y.square().sum(), x)
        return found

    expected = gradient()
    install(layer)
    torch.testing.assert_close(gradient(), expected)


def test_subclasses_are_left_alone():
    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(3, 3), nn.Linear(3, 3), nn.Dropout1d(), nn.ReLU())
    assert install(model) == 1
    assert type(model[0]) is Own


@pytest.mark.parametrize("measure", [products.onednn_is_faster, products.bf16_is_faster])
def test_a_measurement_leaves_the_number_of_threads(measure):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure.__wrapped__()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
