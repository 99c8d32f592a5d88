"""Attention in parts against the plain formula with the same entries dropped."""

import pytest
import torch

from layers.fast_cpu import attention
from layers.fast_cpu.attention import DropoutAttention


def plain(qkv, heads, factor, is_causal, scale):
    """softmax(q k^T) with dropout, whole maps and autograd, `[batch, tokens, heads * width]`."""
    batch, tokens, _ = qkv.shape
    q, k, v = qkv.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * scale
    if is_causal:
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    mixed = (scores.softmax(-1) * factor) @ v
    return mixed.transpose(1, 2).reshape(batch, tokens, -1)


def in_parts(qkv, heads, *options):
    """`DropoutAttention` of queries, keys and values side by side."""
    parts = qkv.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return DropoutAttention.apply(*parts, *options).flatten(2)


def whole_maps(qkv, heads, dropout, is_causal, scale):
    """The maps that `DropoutAttention` uses, seen by values that are the identity."""
    batch, tokens, _ = qkv.shape
    q, k, v = qkv.detach().view(batch, tokens, 3, heads, -1).unbind(2)
    if v.shape[-1] != tokens:  # pad the heads so that an identity fits into the values
        pad = (0, max(tokens - v.shape[-1], 0))
        q, k = (torch.nn.functional.pad(part, pad) for part in (q, k))
    eye = torch.eye(tokens, q.shape[-1])[:, None].expand(tokens, heads, -1).expand_as(q)
    packed = torch.stack((q, k, eye), dim=2).flatten(2)
    maps = in_parts(packed, heads, dropout, is_causal, scale)
    return maps.unflatten(2, (heads, -1))[..., :tokens].transpose(1, 2)


@pytest.mark.parametrize(
    ("tokens", "width", "chunk", "wide"),
    [
        (9, 5, 1, 256),  # a head at a time
        (9, 5, 200, 256),  # some heads at a time
        (9, 5, 1 << 20, 256),
        (4, 5, 1 << 20, 256),  # maps narrower than a head are kept
        (9, 5, 1 << 20, 4),  # bands of rows
        (9, 5, 1 << 20, 9),
    ],
)
@pytest.mark.parametrize("is_causal", [True, False])
def test_outputs_and_gradients(monkeypatch, tokens, width, chunk, wide, is_causal):
    monkeypatch.setattr(attention, "CHUNK", chunk)
    monkeypatch.setattr(attention, "WIDE", wide)
    torch.manual_seed(0)
    qkv = torch.randn(2, tokens, 3 * 3 * width, requires_grad=True)
    options = (3, 0.3, is_causal, 0.4)
    torch.manual_seed(1)
    ours = in_parts(qkv, *options)
    torch.manual_seed(1)
    maps = whole_maps(qkv, *options)
    scale = 1 / (1 - round(0.3 * 2**16) / 2**16)
    factor = torch.where(maps > 0, scale, 0.0)
    if tokens >= 9:
        assert 0.1 < (maps == 0).float().mean() < 0.9
    theirs = plain(qkv, 3, factor, is_causal, 0.4)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(ours)
    (grad_ours,) = torch.autograd.grad(ours, qkv, direction)
    (grad_theirs,) = torch.autograd.grad(theirs, qkv, direction)
    torch.testing.assert_close(grad_ours, grad_theirs, rtol=1e-5, atol=1e-5)


def test_queries_of_a_single_token_stay_as_they_are():
    qkv = torch.randn(1, 1, 3 * 3 * 5, requires_grad=True)
    before = qkv.detach().clone()
    in_parts(qkv, 3, 0.1, True, 0.5)
    assert torch.equal(qkv, before)


def test_shares_of_dropped_entries():
    torch.manual_seed(0)
    zeros = torch.zeros(4, 100, 3 * 8 * 100)
    maps = whole_maps(zeros, 8, 0.1, False, 1.0) * 100
    assert (maps == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert maps.mean().item() == pytest.approx(1.0, abs=0.002)
    # heads, rows and calls differ
    assert not torch.equal(maps[0, 0], maps[0, 1])
    assert not torch.equal(maps[0, 0, 0], maps[0, 0, 1])
    assert not torch.equal(maps, whole_maps(zeros, 8, 0.1, False, 1.0) * 100)
