"""The branches against Hugging Face's own GPT-2, and their shared weights."""

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from layers.gpt2 import GPT2Branch, build_branches


def random_gpt2(**more) -> GPT2Model:
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=32, n_layer=3, n_head=4, n_positions=16, vocab_size=20,
        bos_token_id=0, eos_token_id=0, **more,
    )  # fmt: skip
    model = GPT2Model(config)
    for parameter in model.parameters():  # biases and norms away from 0 and 1
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"activation_function": "relu"},
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False, "n_inner": 50},
    ],
)
def test_agrees_with_hugging_face(prepare, more):
    theirs = random_gpt2(attn_implementation="eager", **more).eval()
    x = torch.randn(2, 7, 32)
    with torch.no_grad():
        expected = theirs(inputs_embeds=x, output_hidden_states=True)
        branch = prepare(GPT2Branch(theirs, 3)).eval()
        output, hidden = branch(x, output_hidden_states=True)
    torch.testing.assert_close(output, expected.last_hidden_state + x, rtol=1e-5, atol=1e-5)
    assert len(hidden) == 4
    for ours, state in zip(hidden[:3], expected.hidden_states[:3], strict=True):
        torch.testing.assert_close(ours, state, rtol=1e-5, atol=1e-5)
    assert hidden[3] is output


def test_attention_is_causal(prepare):
    branch = prepare(GPT2Branch(random_gpt2(), 2)).eval()
    x = torch.randn(1, 5, 32)
    changed = x.clone()
    changed[:, 3] += 1
    with torch.no_grad():
        before, after = branch(x)[0], branch(changed)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_frozen_weights_are_stored_once():
    temporal, textual = build_branches(random_gpt2(), 2, 4, 16, 0.1)
    ours, theirs = temporal.base_model.model.h[1], textual.h[1]
    assert ours.attn.c_attn.base_layer.weight is theirs.attn.c_attn.weight
    assert ours.attn.c_proj.bias is theirs.attn.c_proj.bias
    assert ours.mlp.c_fc.weight is theirs.mlp.c_fc.weight
    # what the temporal branch trains, the textual branch has for itself
    assert ours.ln_1.weight is not theirs.ln_1.weight
    assert temporal.base_model.model.wpe.weight is not textual.wpe.weight
    trained = {name for name, p in textual.named_parameters() if p.requires_grad}
    assert trained == {"wpe.weight"}


def test_new_lora_changes_nothing(prepare):
    backbone = random_gpt2()
    x = torch.randn(1, 5, 32)
    with torch.no_grad():
        expected = GPT2Branch(backbone, 2).eval()(x)[0]
        temporal, textual = map(prepare, build_branches(backbone, 2, 4, 16, 0.1))
        torch.testing.assert_close(temporal.eval()(x)[0], expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(textual.eval()(x)[0], expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_gpt2s(prepare):
    """Each of GPT-2's three probabilities acts, in training alone, as in Hugging Face's GPT-2."""
    names = ("attn_pdrop", "resid_pdrop", "embd_pdrop")
    x = torch.randn(2, 7, 32)
    for name in names:
        backbone = random_gpt2(**dict.fromkeys(names, 0.0) | {name: 0.5})
        branch = prepare(GPT2Branch(backbone, 2))
        assert not torch.equal(branch(x)[0], branch(x)[0]), name
        branch.eval()
        assert torch.equal(branch(x)[0], branch(x)[0]), name


def test_checkpointed_blocks(prepare):
    branch = prepare(GPT2Branch(random_gpt2(resid_pdrop=0.3, attn_pdrop=0.3), 3))
    x = torch.randn(2, 7, 32, requires_grad=True)
    found = []
    for branch.grad_checkpoint in (False, True):
        torch.manual_seed(0)
        output, hidden = branch(x, output_hidden_states=True)
        loss = output.square().mean() + sum(state.abs().mean() for state in hidden)
        found.append(torch.autograd.grad(loss, [x, branch.wpe.weight, branch.h[0].ln_1.weight]))
    for ours, theirs in zip(*found, strict=True):  # what is dropped is dropped again
        assert torch.equal(ours, theirs)
