"""Attention that keeps no attention maps, with dropout on the CPU too."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

CHUNK = 1 << 20  # entries of the attention maps that exist at a time: 4 MB, a processor's cache


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention over `[batch, heads, tokens, width]`.

    PyTorch's fused kernels serve wherever they can. On the CPU they know no dropout, and PyTorch
    would keep whole maps for the backward pass: there `DropoutAttention` works in parts.

    Args:
        q, k, v: queries, keys and values; keys and values may have other tokens than queries.
        dropout: probability that an entry of a map is dropped.
        is_causal: whether a token sees the ones before it, and itself, alone.
        scale: factor of the products; by default width^-0.5.
    """
    if dropout == 0 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=is_causal, scale=scale
        )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return DropoutAttention.apply(q, k, v, dropout, is_causal, scale)


class DropoutAttention(torch.autograd.Function):
    """Attention with dropout that computes its maps part by part, and again in the backward pass.

    What is dropped follows from a seed drawn from PyTorch's random state, so that the backward pass
    drops the same entries.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        dropout: float,
        is_causal: bool,
        scale: float,
    ) -> Tensor:
        ctx.seed = int(torch.randint(2**62, ()))
        ctx.dropout, ctx.is_causal, ctx.scale = dropout, is_causal, scale
        shape = q.shape
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        q = q * scale
        output = torch.empty(q.shape[:2] + v.shape[2:], dtype=q.dtype)
        for part, attention, kept in _maps(ctx, q, k):
            torch.bmm(attention.mul_(kept), v[part], out=output[part])
        output *= _gain(dropout)
        ctx.save_for_backward(q, k, v, output)
        return output.unflatten(0, shape[:2])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, output = ctx.saved_tensors
        shape = gradient.shape
        gradient = gradient.flatten(0, 1)
        of_q, of_k, of_v = (torch.empty_like(part) for part in (q, k, v))
        # a row's share of the softmax gradient, the same whatever was dropped
        share = (gradient * output).sum(dim=-1, keepdim=True)
        gradient = gradient * _gain(ctx.dropout)
        for part, attention, kept in _maps(ctx, q, k):
            of_scores = torch.bmm(gradient[part], v[part].transpose(1, 2))
            of_scores.mul_(kept).sub_(share[part]).mul_(attention)
            torch.bmm(attention.mul_(kept).transpose(1, 2), gradient[part], out=of_v[part])
            torch.bmm(of_scores, k[part], out=of_q[part])
            torch.bmm(of_scores.transpose(1, 2), q[part], out=of_k[part])
        of_q *= ctx.scale
        return (
            of_q.unflatten(0, shape[:2]),
            of_k.unflatten(0, shape[:2]),
            of_v.unflatten(0, shape[:2]),
            None,
            None,
            None,
        )


def _maps(ctx: FunctionCtx, q: Tensor, k: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield which heads, their attention `[heads, queries, keys]` before dropout, and 1 where it is
    kept, 0 where it is dropped. The same at every call for one context; `q` is scaled."""
    heads, queries, keys = len(q), q.shape[1], k.shape[1]
    generator = torch.Generator().manual_seed(ctx.seed)
    future = None
    if ctx.is_causal:
        future = torch.full((queries, keys), float("-inf"), dtype=q.dtype).triu_(1)
    size = max(1, CHUNK // (queries * keys))
    for start in range(0, heads, size):
        part = slice(start, min(start + size, heads))
        scores = torch.bmm(q[part], k[part].transpose(1, 2))
        if future is not None:
            scores += future
        yield part, torch.softmax(scores, dim=-1), _kept(scores, ctx.dropout, generator)


def _kept(like: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    """Draw 1 for entries that are kept and 0 for those dropped, in the shape of `like`.

    Four 16-bit numbers come from each draw, several times as fast as one number a draw; the
    probability is rounded to a 65,536th.
    """
    count = like.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=generator)
    draws = draws.view(torch.int16)[:count].view_as(like)
    return (draws >= round(dropout * 2**16) - 2**15).to(like.dtype)


def _gain(dropout: float) -> float:
    """What the entries that are not dropped are multiplied by, so that their mean stays."""
    return 2**16 / (2**16 - round(dropout * 2**16))
