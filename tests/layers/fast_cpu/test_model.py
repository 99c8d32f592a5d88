"""The whole model on the fast modules against the plain one, to 1e-5: outputs, features, gradients;
in training (without dropout) and in evaluation."""

from copy import deepcopy

import pytest
import torch

from layers.fast_cpu import install
from layers.fast_cpu.modules import FAST
from models.CALF import Model
from tests.models.same_results import learned_calf
from tests.rounding import smooth


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)).item()


@pytest.fixture
def models() -> tuple[Model, Model]:
    """A fast and a plain model."""
    plain = learned_calf()
    smooth(plain)
    fast = deepcopy(plain)
    known = [module for module in fast.modules() if type(module) in FAST]
    assert install(fast) == len(known) > 50
    assert {type(module) for module in known} == set(FAST.values())
    for branch in (fast.gpt2, fast.gpt2_text):
        assert branch.config._attn_implementation == "fast_cpu"
    assert plain.gpt2.config._attn_implementation == "sdpa"
    return fast, plain


def everything(model: Model, x: torch.Tensor) -> list[torch.Tensor]:
    output = model.branches(x, text_branch=True)
    return [
        output.outputs_time, output.outputs_text, *output.features_time, *output.features_text
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3, 40, 290])
@pytest.mark.parametrize("training", [True, False])
def test_the_whole_model(models, channels, training):
    x = torch.randn(3, 16, channels)
    results = [everything(model.train(training), x) for model in models]
    for ours, theirs in zip(*results, strict=True):
        assert relative(ours, theirs) < 1e-5
    for found in results:
        torch.manual_seed(2)
        torch.stack([(t * torch.randn_like(t)).mean() for t in found]).sum().backward()
    fast, plain = (dict(model.named_parameters()) for model in models)
    largest = max(p.grad.norm() for p in plain.values() if p.grad is not None)
    for name, parameter in plain.items():
        if not parameter.requires_grad:
            assert fast[name].grad is None
            continue
        scale = parameter.grad.norm() + 1e-3 * largest  # keys' biases have no gradient
        assert (fast[name].grad - parameter.grad).norm() / scale < 1e-5, name
