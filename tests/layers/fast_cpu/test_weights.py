"""Whatever changes a frozen weight, no stale copy of it is used; what only reads costs nothing."""

import io
import pickle
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file, save_model
from torch import nn
from transformers import GPT2Config
from transformers.activations import GELUTanh
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu import install, uninstall
from layers.fast_cpu.modules import FastConv1D, FastLoraLinear
from layers.fast_cpu.weights import WatchedParameter, is_watched

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def one_projection() -> nn.Module:
    return nn.Sequential(Conv1D(12, 8)).requires_grad_(False)


def one_linear() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12)).requires_grad_(False)


def low_rank_update_of_linear() -> nn.Module:
    config = LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
    return get_peft_model(one_linear(), config)


def feed_forward_part() -> nn.Module:
    mlp = GPT2MLP(16, GPT2Config(n_embd=8, resid_pdrop=0.0)).requires_grad_(False)
    mlp.act = GELUTanh()
    return mlp


def low_rank_update() -> nn.Module:
    config = LoraConfig(r=2, target_modules=["0"], fan_in_fan_out=True, init_lora_weights=False)
    return get_peft_model(one_projection(), config)


def in_place(module):
    with torch.no_grad():
        module.weight.mul_(2)


def through_data(module):
    module.weight.data.mul_(2)


def add_through_data(module):
    module.weight.data += 1


def new_data(module):
    module.weight.data = torch.randn_like(module.weight)


def through_numpy(module):
    module.weight.requires_grad_(False).numpy()[:] *= 2


def through_detached(module):
    module.weight.detach().mul_(2)


def through_state_dict(module):
    module.state_dict()["weight"].mul_(2)


def load(module):
    state = {name: 2 * tensor for name, tensor in module.state_dict().items()}
    module.load_state_dict(state)


def load_by_assigning(module):
    state = {name: 2 * tensor for name, tensor in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def new_parameter(module):
    module.weight = nn.Parameter(torch.randn_like(module.weight), requires_grad=False)


def changed_alias(module):
    return module.weight.data


def changed_source_of_data(module):
    module.weight.data = source = torch.randn_like(module.weight)
    return source


CHANGES = [
    in_place,
    through_data,
    add_through_data,
    new_data,
    through_numpy,
    through_detached,
    through_state_dict,
    load,
    load_by_assigning,
    new_parameter,
    changed_alias,
    changed_source_of_data,
]


def results(model: nn.Module) -> list[torch.Tensor]:
    """Output and gradient with gradients, output without."""
    torch.manual_seed(0)
    x = torch.randn(3, 8, requires_grad=True)
    y = model.eval()(x)
    (gradient,) = torch.autograd.grad(y, x, torch.randn_like(y))
    with torch.no_grad():
        return [y.detach(), gradient, model(x)]


def assert_fresh(model: nn.Module) -> list[torch.Tensor]:
    """Compare with plain modules that are given the numbers that the weights have now."""
    plain = deepcopy(model)
    uninstall(plain)
    found = results(model)
    for ours, theirs in zip(found, results(plain), strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)
    return found


@pytest.mark.parametrize(
    "make",
    [one_projection, one_linear, feed_forward_part, low_rank_update, low_rank_update_of_linear],
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight(prepare, make, change: Callable):
    torch.manual_seed(1)
    model = prepare(make())
    before = assert_fresh(model)
    module = next(m for m in model.modules() if isinstance(m, Conv1D | nn.Linear))
    alias = change(module)
    found = [assert_fresh(model), assert_fresh(model)]
    if alias is not None:
        alias.mul_(3)
        found.append(assert_fresh(model))
        assert not torch.allclose(*[y for y, *_ in found[-2:]])
    assert not torch.allclose(found[-1][0], before[0])


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_factor(prepare, factor, change: Callable):
    torch.manual_seed(1)
    model = prepare(low_rank_update())
    before = assert_fresh(model)
    alias = change(getattr(model.base_model.model[0], factor)["default"])
    if alias is not None:
        assert_fresh(model)
        alias.mul_(3)
    assert not torch.allclose(assert_fresh(model)[2], before[2])


def fast_low_rank_update() -> tuple[nn.Module, FastLoraLinear, FastConv1D]:
    model = low_rank_update()
    install(model)
    layer = next(m for m in model.modules() if isinstance(m, FastLoraLinear))
    results(model)
    return model, layer, layer.base_layer


def test_what_only_reads_keeps_the_laid_out_weight(tmp_path):
    model, layer, base = fast_low_rank_update()
    packed, folded = base.packed._value, layer.folded._value
    assert packed is not None and folded is not None
    state = model.state_dict()
    torch.save(state, io.BytesIO())
    save_file(state, tmp_path / "state.safetensors")
    save_model(model, tmp_path / "model.safetensors")
    model.load_state_dict({**state, **load_file(tmp_path / "state.safetensors")}, strict=False)
    assert base.packed._value is packed  # loading changes the version, seen at the next product
    results(model)
    packed, folded = base.packed._value, layer.folded._value
    model.save_pretrained(tmp_path)
    model.to("cpu").float().eval().zero_grad()
    deepcopy(model)
    pickle.dumps(model)
    (
        repr(model),
        repr(base.weight),
        list(model.parameters()),
        sum(p.sum() for p in base.parameters()),
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    assert not any(type(p) is WatchedParameter for p in trained)
    torch.optim.Adam(trained).step()
    results(model)
    assert is_watched(base.weight)
    assert base.packed._value is packed
    assert layer.folded._value is folded
    model.train()
    assert layer.folded._value is None
    assert base.packed._value is packed


def test_copies_and_pickles():
    model, _, base = fast_low_rank_update()
    expected = results(model)
    copied = deepcopy(model)
    read = pickle.loads(pickle.dumps(model))
    for other in (copied, read):
        theirs = next(m for m in other.modules() if isinstance(m, FastConv1D))
        assert theirs.packed._value is None
        for ours, result in zip(expected, results(other), strict=True):
            torch.testing.assert_close(ours, result, **CLOSE)  # the read one is not folded
        through_data(theirs)
        assert not torch.allclose(results(other)[0], expected[0])
        assert is_watched(base.weight)
    assert type(copied.base_model.model[0].base_layer.weight) is WatchedParameter
    weight = read.base_model.model[0].base_layer.weight
    assert type(weight) is nn.Parameter
    install(read)
    assert is_watched(weight)


def test_other_dtypes():
    model, _, base = fast_low_rank_update()
    single = results(model)[0]
    model.double()
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(x.double()).float(), single, **CLOSE)
    model.float()
    assert not is_watched(base.weight)
    torch.testing.assert_close(results(model)[0], single, **CLOSE)


def test_a_trained_weight_is_not_watched():
    module = Conv1D(12, 8)
    install(module)
    assert type(module.weight) is nn.Parameter
    module.requires_grad_(False)
    assert install(module) == 0
    assert is_watched(module.weight)
    module.requires_grad_()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(2):
        x = torch.randn(3, 8)
        torch.testing.assert_close(module(x), x @ module.weight + module.bias, **CLOSE)
        module(x).sum().backward()
        optimiser.step()


def test_uninstall():
    model, layer, base = fast_low_rank_update()
    kinds = {name: type(module) for name, module in low_rank_update().named_modules()}
    assert uninstall(model) == 4
    assert {name: type(module) for name, module in model.named_modules()} == kinds
    assert type(base.weight) is nn.Parameter
    assert not {"packed", "packed_backward"} & set(vars(base))
    assert "folded" not in vars(layer)
    assert uninstall(model) == 0


def test_subclasses_are_left_alone():
    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(3, 3), nn.Linear(3, 3), nn.Dropout1d(), nn.ReLU())
    assert install(model) == 1
    assert type(model[0]) is Own
