"""The match module against the formulas, and against keys and values for each sample."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from layers.match import CrossModalMatch

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def encode(layer, x, norm_first=False):
    """A `TransformerEncoderLayer` with ReLU and without dropout, by its formulas."""
    attention, heads = layer.self_attn, layer.self_attn.num_heads

    def attend(x):
        qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        maps = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return attention.out_proj((maps @ v).transpose(1, 2).flatten(2))

    def feed(x):
        return layer.linear2(F.relu(layer.linear1(x)))

    if norm_first:
        x = x + attend(layer.norm1(x))
        return x + feed(layer.norm2(x))
    x = layer.norm1(x + attend(x))
    return layer.norm2(x + feed(x))


def small_match(dropout: float = 0.0) -> CrossModalMatch:
    torch.manual_seed(0)
    match = CrossModalMatch(10, torch.randn(24, 9), n_heads=4, dropout=dropout)
    for parameter in match.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return match


def test_textual_tokens_are_multi_head_attention_to_every_samples_words(prepare):
    match = small_match().eval()
    plain = deepcopy(match.cross_attention)
    prepare(match)
    x_time = match.temporal_tokens(torch.randn(3, 5, 10))
    words = match.word_embedding.expand(3, -1, -1)
    expected, _ = plain(x_time, words, words)
    torch.testing.assert_close(match.textual_tokens(x_time), expected, **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(match.textual_tokens(x_time), expected, **CLOSE)


@pytest.mark.parametrize("norm_first", [False, True])
def test_temporal_tokens_are_pytorchs_encoder(prepare, norm_first):
    """In training, in evaluation, and without gradients."""
    match = small_match()
    match.transformer_encoder.layers[0].norm_first = norm_first
    plain = deepcopy(match)
    prepare(match)
    x = torch.randn(3, 5, 10)
    expected = encode(plain.transformer_encoder.layers[0], plain.linear(x), norm_first)
    for training in (True, False):
        match.train(training)
        torch.testing.assert_close(match.temporal_tokens(x), expected, **CLOSE)
        with torch.no_grad():
            torch.testing.assert_close(match.temporal_tokens(x), expected, **CLOSE)


def test_dropout(prepare):
    """Of the encoder layer and of the cross-attention, in training alone."""
    x = torch.randn(3, 5, 10)
    for name in ("self_attn", "dropout", "dropout1", "dropout2", "cross_attention"):
        match = small_match()
        layer = match.transformer_encoder.layers[0]
        module = match.cross_attention if name == "cross_attention" else getattr(layer, name)
        setattr(module, "dropout" if "attn" in name or "attention" in name else "p", 0.5)
        prepare(match)

        def tokens(match=match) -> torch.Tensor:
            return match.textual_tokens(match.temporal_tokens(x))

        assert not torch.equal(tokens(), tokens()), name
        match.eval()
        assert torch.equal(tokens(), tokens()), name


def test_masks_act(prepare):
    """The attention modules are PyTorch's for whoever calls them with more than we do."""
    match = small_match().eval()
    layer, attention = match.transformer_encoder.layers[0], match.cross_attention
    x, mask = torch.randn(3, 5, 24), torch.ones(5, 5, dtype=torch.bool).triu(1)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[:, 3:] = True
    calls = [
        lambda: layer(x, src_mask=mask),
        lambda: layer(x, src_key_padding_mask=padding),
        lambda: layer(x, src_mask=mask, is_causal=True),
        lambda: attention(x, x, x)[1],
        lambda: attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0],
        lambda: attention(x, x, x, key_padding_mask=padding, average_attn_weights=False)[1],
        lambda: attention(x[0], x[0], x[0], need_weights=False)[0],
    ]
    expected = [call() for call in calls]
    prepare(match)
    for call, theirs in zip(calls, expected, strict=True):
        torch.testing.assert_close(call(), theirs, **CLOSE)
