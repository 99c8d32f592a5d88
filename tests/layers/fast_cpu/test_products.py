"""The products and the modules made of them against PyTorch's own, to 1e-5."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu import install, products, uninstall
from layers.fast_cpu.products import is_float32_on_cpu, linear

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def gradients(y, *inputs):
    torch.manual_seed(5)
    return torch.autograd.grad(y, inputs, torch.randn_like(y))


def assert_agree(module: nn.Module, plain, x: torch.Tensor, *inputs) -> None:
    """Compare a fast module with a plain function, with gradients and without."""
    expected = plain(x)
    for ours, theirs in zip(
        [module(x), *gradients(module(x), x, *inputs)],
        [expected, *gradients(expected, x, *inputs)],
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(module(x), expected, **CLOSE)


@pytest.mark.parametrize("out", [3, 40])
@pytest.mark.parametrize("trained", ["nothing", "weight", "bias", "weight and bias"])
@pytest.mark.parametrize("kind", ["Conv1D", "Linear", "Linear without bias"])
def test_projections(kind, trained, out):
    torch.manual_seed(0)
    is_conv = kind == "Conv1D"
    module = Conv1D(out, 17) if is_conv else nn.Linear(17, out, bias=kind == "Linear")
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter).requires_grad_(name in trained)
    assert install(module) == 1
    inputs = [p for p in module.parameters() if p.requires_grad]

    def plain(x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, module.weight.t() if is_conv else module.weight, module.bias)

    for shape in ((7,), (1, 1), (2, 3, 4)):
        assert_agree(module, plain, torch.randn(*shape, 17, requires_grad=True), *inputs)


def test_linear_elsewhere():
    weight = torch.randn(4, 6)
    assert is_float32_on_cpu(torch.randn(2, 6), weight)
    assert not is_float32_on_cpu(torch.randn(2, 6).double(), weight.double())
    assert not is_float32_on_cpu(torch.randn(2, 6), weight.double())
    assert not is_float32_on_cpu(torch.randn(0, 6), weight)
    assert linear(torch.randn(0, 6), weight).shape == (0, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_float32_on_cpu(torch.randn(2, 6), weight)
        assert linear(torch.randn(2, 6), weight).dtype == torch.bfloat16


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


def test_uninstall():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    assert (install(model), uninstall(model), uninstall(model)) == (2, 2, 0)
    assert [type(module) for module in model] == [nn.Linear, nn.Dropout]


def test_subclasses_are_left_alone():
    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(3, 3), nn.Linear(3, 3), nn.Dropout1d(), nn.ReLU())
    assert install(model) == 1
    assert type(model[0]) is Own


def test_the_measurement_leaves_the_number_of_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        products.onednn_is_faster.__wrapped__()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
