"""The branches against Hugging Face's own GPT-2, and what they share."""

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
def test_agrees_with_hugging_face(more):
    theirs = random_gpt2(attn_implementation="eager", **more).eval()
    x = torch.randn(2, 7, 32)
    with torch.no_grad():
        expected = theirs(inputs_embeds=x, output_hidden_states=True)
        output, hidden = GPT2Branch(theirs, 3).eval()(x, keep_hidden=True)
    torch.testing.assert_close(output, expected.last_hidden_state + x, rtol=1e-5, atol=1e-5)
    assert len(hidden) == 4
    for ours, state in zip(hidden[:3], expected.hidden_states[:3], strict=True):
        torch.testing.assert_close(ours, state, rtol=1e-5, atol=1e-5)
    assert hidden[3] is output


def test_attention_is_causal():
    branch = GPT2Branch(random_gpt2(), 2).eval()
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


def test_new_lora_changes_nothing():
    backbone = random_gpt2()
    x = torch.randn(1, 5, 32)
    with torch.no_grad():
        expected = GPT2Branch(backbone, 2).eval()(x)[0]
        temporal, textual = build_branches(backbone, 2, 4, 16, 0.1)
        torch.testing.assert_close(temporal.eval()(x)[0], expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(textual.eval()(x)[0], expected, rtol=1e-5, atol=1e-6)
