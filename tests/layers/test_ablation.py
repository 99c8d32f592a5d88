"""What takes the place of GPT-2's blocks, against transformers' own modules and by hand."""

import math

import pytest
import torch
from torch import nn
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from layers.backbone import load_backbone
from layers.gpt2 import GPT2, REPLACED, GPT2Branch, adapter_is_merged, build_branches, build_gpt2
from tests.layers.test_gpt2 import random_gpt2
from utils.errors import UserError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
KINDS = [GPT2, GPT2Branch]


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.randn(2, 7, 32)


def surroundings(backbone: nn.Module, x: torch.Tensor, blocks, kind: type) -> torch.Tensor:
    """Position embeddings, `blocks`, final norm and the residual, by transformers' modules."""
    y = blocks(x + backbone.wpe(torch.arange(x.shape[1])))
    return backbone.ln_f(y) + (x if kind is GPT2Branch else 0)


def their_block(ours: nn.Module, config) -> GPT2Block:
    """Transformers' block with the weights of ours; its feed-forward part is random if ours has
    none."""
    theirs = GPT2Block(config, layer_idx=0).eval()
    assert not theirs.load_state_dict(ours.state_dict(), strict=False).unexpected_keys
    return theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("llm_ablation", ["attention", "transformer"])
def test_one_layer(prepare, kind, llm_ablation, x):
    backbone = random_gpt2(attn_implementation="eager")
    gpt2 = prepare(build_gpt2(kind, backbone, 3, llm_ablation, 5)).eval()
    (ours,) = gpt2.h
    for parameter in ours.parameters():  # biases and norms away from 0 and 1
        parameter.data += 0.3 * torch.randn_like(parameter)
    theirs = their_block(ours, backbone.config)
    future = torch.full((7, 7), float("-inf")).triu(1)[None, None]  # the model's, not the block's

    def run(state):
        if llm_ablation == "transformer":
            found = theirs(state, attention_mask=future)
            return found[0] if isinstance(found, tuple) else found
        return state + theirs.attn(theirs.ln_1(state), attention_mask=future)[0]

    with torch.no_grad():
        output, hidden = gpt2(x, output_hidden_states=True)
        torch.testing.assert_close(output, surroundings(backbone, x, run, kind), **CLOSE)
    embedded = x + backbone.wpe.weight[:7]
    assert len(hidden) == 2
    torch.testing.assert_close(hidden[0], embedded)
    assert hidden[1] is output


@pytest.mark.parametrize("kind", KINDS)
def test_identity(prepare, kind, x):
    backbone = random_gpt2()
    gpt2 = prepare(nn.ModuleList([build_gpt2(kind, backbone, 3, "identity"), nn.Linear(1, 1)]))[0]
    output, hidden = gpt2.eval()(x, output_hidden_states=True)
    state = x + backbone.wpe.weight[:7]
    mean, variance = state.mean(-1, keepdim=True), state.var(-1, keepdim=True, unbiased=False)
    expected = (state - mean) / (variance + 1e-5).sqrt()
    expected = expected * backbone.ln_f.weight + backbone.ln_f.bias
    expected = expected + x if kind is GPT2Branch else expected
    torch.testing.assert_close(output, expected, **CLOSE)
    assert len(hidden) == 1
    assert hidden[0] is output
    assert {name for name, _ in gpt2.named_parameters()} == {
        "wpe.weight", "ln_f.weight", "ln_f.bias"
    }  # fmt: skip


def test_random_is_the_gpt2_that_its_seed_gives(small_gpt2):
    state = torch.get_rng_state()
    ours = build_gpt2(GPT2, load_backbone(str(small_gpt2)), 2, "random", 3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    theirs = load_backbone(str(small_gpt2), "random", 3).state_dict()
    assert ours.keys() >= {"wpe.weight", "h.1.attn.c_attn.weight", "ln_f.bias"}
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("llm_ablation", ["attention", "transformer"])
def test_initialisation_is_gpt2s(llm_ablation):
    """N(0, initializer_range), of projections to the residual stream over sqrt(2 layers)."""
    backbone = random_gpt2(initializer_range=0.05)
    state = torch.get_rng_state()
    one, same, other = (build_gpt2(GPT2, backbone, 3, llm_ablation, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    (block,), (again,), (another,) = one.h, same.h, other.h
    assert torch.equal(block.attn.c_attn.weight, again.attn.c_attn.weight)
    assert not torch.equal(block.attn.c_attn.weight, another.attn.c_attn.weight)
    for name, parameter in block.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "ln_" in name:
            assert (parameter == 1).all(), name
        else:
            std = 0.05 / math.sqrt(2) if "c_proj" in name else 0.05
            assert parameter.std().item() == pytest.approx(std, rel=0.1), name
            assert abs(parameter.mean().item()) < 4 * std / math.sqrt(parameter.numel()), name


@pytest.mark.parametrize("llm_ablation", REPLACED)
def test_branches_without_blocks_of_gpt2(llm_ablation):
    """Both are trained whole, begin with equal weights, and share none."""
    temporal, textual = build_branches(random_gpt2(), 99, 4, 16, 0.1, llm_ablation, 1)
    ours, theirs = dict(temporal.named_parameters()), dict(textual.named_parameters())
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if "lora" in name]
    for name, parameter in ours.items():
        assert parameter.requires_grad
        assert theirs[name].requires_grad
        assert torch.equal(parameter, theirs[name])
        assert parameter is not theirs[name]
    assert not adapter_is_merged(temporal)


def test_branches_on_random_blocks_are_trained_as_those_of_gpt2():
    found = [
        {(n, p.requires_grad) for branch in build_branches(random_gpt2(), 2, 4, 16, 0.1, name)
         for n, p in branch.named_parameters()}
        for name in ("none", "random")
    ]  # fmt: skip
    assert found[0] == found[1]


def test_unknown():
    with pytest.raises(UserError, match="--llm_ablation bert: use one of none, random, attention"):
        build_gpt2(GPT2, random_gpt2(), 1, "bert")
