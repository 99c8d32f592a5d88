"""Attention in parts against the plain formula with the same entries dropped."""

import pytest
import torch

from layers import attention
from layers.attention import DropoutAttention, attend


def plain(q, k, v, kept, is_causal, scale):
    """softmax(q k^T) with dropout, whole maps and autograd."""
    scores = q @ k.transpose(-1, -2) * scale
    if is_causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    return (scores.softmax(-1) * kept) @ v


@pytest.mark.parametrize("chunk", [1, 200, 1 << 20])
@pytest.mark.parametrize(("is_causal", "keys"), [(True, 9), (False, 9), (False, 13)])
def test_outputs_and_gradients(monkeypatch, chunk, is_causal, keys):
    monkeypatch.setattr(attention, "CHUNK", chunk)
    torch.manual_seed(0)
    q = torch.randn(2, 3, 9, 5, requires_grad=True)
    k, v = (torch.randn(2, 3, keys, 5, requires_grad=True) for _ in range(2))
    torch.manual_seed(1)
    ours = DropoutAttention.apply(q, k, v, 0.3, is_causal, 0.4)
    # what was dropped shows in the values' Jacobian: run again on the identity as values
    torch.manual_seed(1)
    eye = torch.eye(keys).expand(2, 3, keys, keys).contiguous()
    maps = DropoutAttention.apply(q, k, eye, 0.3, is_causal, 0.4).detach()
    full = plain(q, k, eye, 1.0, is_causal, 0.4).detach()
    kept = torch.where(maps > 0, 1 / (1 - round(0.3 * 2**16) / 2**16), 0.0)
    torch.testing.assert_close(maps, full * kept)
    theirs = plain(q, k, v, kept, is_causal, 0.4)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (q, k, v), direction),
        torch.autograd.grad(theirs, (q, k, v), direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_without_dropout_it_is_pytorchs():
    q, k, v = torch.randn(3, 2, 3, 9, 5)
    ours = DropoutAttention.apply(q, k, v, 0.0, True, 5**-0.5)
    torch.testing.assert_close(ours, attend(q, k, v, is_causal=True), rtol=1e-5, atol=1e-6)


def test_shares_of_dropped_entries():
    torch.manual_seed(0)
    ones = torch.zeros(4, 8, 100, 4)
    eye = torch.eye(100).expand(4, 8, 100, 100).contiguous()
    maps = attend(ones, ones, eye, dropout=0.1) * 100
    assert (maps == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert maps.mean().item() == pytest.approx(1.0, abs=0.002)
    # heads, rows and calls differ
    assert not torch.equal(maps[0, 0], maps[0, 1])
    assert not torch.equal(maps, attend(ones, ones, eye, dropout=0.1) * 100)


def test_dropout_follows_the_random_state():
    q, k, v = torch.randn(3, 2, 3, 9, 5)
    outputs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        outputs.append(attend(q, k, v, dropout=0.5))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_no_map_is_kept():
    q, k, v = (torch.randn(2, 3, 40, 5, requires_grad=True) for _ in range(3))
    sizes = []

    def note(tensor):
        sizes.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attend(q, k, v, dropout=0.1, is_causal=True).sum().backward()
    assert sizes
    assert not [size for size in sizes if size[-2:] == (40, 40)]
