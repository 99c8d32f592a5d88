"""The modules of the match module, plain and fast, against PyTorch's own."""

import pytest
import torch

from layers.match import CrossModalMatch


def small_match(dropout: float = 0.0) -> CrossModalMatch:
    torch.manual_seed(0)
    match = CrossModalMatch(10, torch.randn(24, 9), n_heads=4, dropout=dropout)
    for parameter in match.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return match


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


@pytest.mark.parametrize("norm_first", [False, True])
def test_modules_are_pytorchs(prepare, norm_first):
    """For whoever calls them with more than we do; `tests/parity` has the module as we call it."""
    match = small_match().eval()
    layer, attention = match.transformer_encoder.layers[0], match.cross_attention
    layer.norm_first = norm_first
    x, mask = torch.randn(3, 5, 24), torch.ones(5, 5, dtype=torch.bool).triu(1)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[:, 3:] = True
    calls = [
        lambda: layer(x),
        lambda: layer(x, src_mask=mask),
        lambda: layer(x, src_key_padding_mask=padding),
        lambda: layer(x, src_mask=mask, is_causal=True),
        lambda: attention(x, x, x)[1],
        lambda: attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0],
        lambda: attention(x, x, x, key_padding_mask=padding, average_attn_weights=False)[1],
        lambda: attention(x[0], x[0], x[0], need_weights=False)[0],
        lambda: attention(x, x, x, padding, False)[0],
        lambda: attention(x, x, x, None, False, mask)[0],
        lambda: layer(x, mask, padding),
    ]
    expected = [call() for call in calls]
    prepare(match)
    for call, theirs in zip(calls, expected, strict=True):
        torch.testing.assert_close(call(), theirs, rtol=1e-5, atol=1e-5)
