"""The products and the modules made of them against PyTorch's own, to 1e-5."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import GPT2Config
from transformers.activations import GELUTanh
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
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
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 1), (2, 3, 4)])
def test_linear(out, bias, shape):
    torch.manual_seed(0)
    x = torch.randn(*shape, 17, requires_grad=True)
    module = nn.Linear(17, out, bias=bias)
    assert install(module) == 1
    assert_agree(module, lambda x: F.linear(x, module.weight, module.bias), x, *module.parameters())


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


@pytest.mark.parametrize("trained", ["nothing", "weight", "bias"])
@pytest.mark.parametrize("kind", ["Conv1D", "Linear", "Linear without bias"])
def test_frozen_projections(kind, trained):
    torch.manual_seed(0)
    if kind == "Conv1D":
        module = Conv1D(64, 24)
        nn.init.normal_(module.bias)
    else:
        module = nn.Linear(24, 64, bias=kind == "Linear")
    module.requires_grad_(False)
    inputs = [p for name, p in module.named_parameters() if name == trained]
    for parameter in inputs:
        parameter.requires_grad_()
    install(module)
    x = torch.randn(2, 5, 24, requires_grad=True)
    if kind == "Conv1D":
        assert_agree(module, lambda x: x @ module.weight + module.bias, x, *inputs)
    else:
        assert_agree(module, lambda x: F.linear(x, module.weight, module.bias), x, *inputs)


def small_mlp() -> GPT2MLP:
    torch.manual_seed(0)
    mlp = GPT2MLP(96, GPT2Config(n_embd=24, resid_pdrop=0.0)).requires_grad_(False)
    mlp.act = GELUTanh()
    nn.init.normal_(mlp.c_fc.bias)
    nn.init.normal_(mlp.c_proj.bias)
    return mlp


@pytest.mark.parametrize("trained", ["nothing", "c_fc.weight", "c_proj.bias"])
@pytest.mark.parametrize("act", [GELUTanh(), nn.GELU(), nn.ReLU()])
def test_feed_forward_part(trained, act):
    mlp = small_mlp()
    mlp.act = act
    inputs = [p for name, p in mlp.named_parameters() if name == trained]
    for parameter in inputs:
        parameter.requires_grad_()
    install(mlp)
    fc, proj = mlp.c_fc, mlp.c_proj
    x = torch.randn(2, 5, 24, requires_grad=True)
    assert_agree(mlp, lambda x: act(x @ fc.weight + fc.bias) @ proj.weight + proj.bias, x, *inputs)


def test_without_onednn(monkeypatch):
    mlp = small_mlp()
    x = torch.randn(2, 5, 24, requires_grad=True)
    expected = mlp(x)
    of_expected = gradients(expected, x)
    install(mlp)
    monkeypatch.setattr(products, "_uses_onednn", False)
    torch.testing.assert_close(mlp(x), expected, **CLOSE)
    torch.testing.assert_close(gradients(mlp(x), x), of_expected, **CLOSE)


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


def test_the_measurement_leaves_the_number_of_threads(monkeypatch):
    """It is on one thread: others that wait would count, and decide on a busy machine."""
    seen, multiply = [], products.product
    monkeypatch.setattr(
        products, "product", lambda *of: (seen.append(torch.get_num_threads()), multiply(*of))
    )
    monkeypatch.setattr(products, "ONEDNN_IS_THERE", hasattr(torch.ops.mkldnn, "_linear_pointwise"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        products.onednn_is_faster.__wrapped__()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) <= {1}
