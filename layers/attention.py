"""Self-attention that keeps no attention maps, with dropout on the CPU too."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from layers.dropout import LEVELS, draw_kept
from layers.linear import linear

CHUNK = 1 << 20  # entries of the attention maps that exist at a time: 4 MB, a processor's cache
WIDE = 256  # from so many tokens on, heads are worked one by one, and causal ones in bands of rows


def self_attention(
    qkv: Tensor,
    heads: int,
    dropout: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention of every token to those of its sample.

    PyTorch's fused kernels serve wherever they can. On the CPU they know no dropout, and PyTorch
    would keep whole maps for the backward pass: there `DropoutAttention` works in parts.

    Args:
        qkv: queries, keys and values side by side, `[batch, tokens, 3 * d_model]`.
        heads: into how many d_model is cut.
        dropout: probability that an entry of a map is dropped.
        is_causal: whether a token sees the ones before it, and itself, alone.
        scale: factor of the products; by default (d_model / heads)^-0.5.

    Returns:
        `[batch, tokens, d_model]`.
    """
    if scale is None:
        scale = (qkv.shape[-1] // 3 // heads) ** -0.5
    by_pytorch = dropout == 0 or dropout > 1 - 1 / LEVELS
    if by_pytorch or qkv.device.type != "cpu" or torch.compiler.is_compiling():
        q, k, v = rearrange(qkv, "b c (n h k) -> n b h c k", n=3, h=heads)
        mixed = F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=is_causal, scale=scale
        )
        return rearrange(mixed, "b h c k -> b c (h k)")
    return DropoutAttention.apply(qkv, heads, dropout, is_causal, scale)


class DropoutAttention(torch.autograd.Function):
    """Attention with dropout that computes its maps part by part, and again in the backward pass.

    Only maps narrower than a head, which are smaller than the queries, are kept for it. What is
    dropped follows from a seed drawn from PyTorch's random state, so that the backward pass drops
    the same entries.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, qkv: Tensor, heads: int, dropout: float, is_causal: bool, scale: float
    ) -> Tensor:
        q, k, v = packed = _unpack(qkv, heads, scale)
        ctx.heads, ctx.dropout, ctx.is_causal, ctx.scale = heads, dropout, is_causal, scale
        ctx.seed = int(torch.randint(2**62, ()))
        ctx.maps = list(_maps(ctx, q, k)) if q.shape[1] < q.shape[2] else None
        mixed = torch.empty_like(q)
        for part in ctx.maps or _maps(ctx, q, k):
            weights = (part.attention * part.kept).mul_(part.gain)
            mixed[part.rows] = _times(weights, v[part.columns])
        ctx.save_for_backward(packed)
        return rearrange(mixed, "(b h) c k -> b c (h k)", h=heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors[0]
        gradient = rearrange(gradient, "b c (h k) -> (b h) c k", h=ctx.heads).contiguous()
        of_packed = q.new_zeros(3, *q.shape)
        of_q, of_k, of_v = of_packed
        for rows, columns, attention, kept, gain in ctx.maps or _maps(ctx, q, k):
            factor = kept.to(attention.dtype).mul_(gain)
            of_scores = _by_transposed(gradient[rows], v[columns])
            of_scores.mul_(factor).mul_(attention)
            of_scores.addcmul_(attention, of_scores.sum(dim=-1, keepdim=True), value=-1)
            of_v[columns] += _transposed_times(factor.mul_(attention), gradient[rows])
            of_q[rows] = _times(of_scores, k[columns])
            of_k[columns] += _transposed_times(of_scores, q[rows])
        of_q *= ctx.scale
        of_qkv = rearrange(of_packed, "n (b h) c k -> b c (n h k)", h=ctx.heads)
        return of_qkv, None, None, None, None


@dataclass
class Part:
    """Part of the attention maps.

    Attributes:
        rows, columns: which heads and queries, and which heads and keys.
        attention: the softmax over them, `[.., queries, keys]`.
        kept: 1 where an entry is kept, else 0. gain: what those are multiplied by.
    """

    rows: tuple
    columns: tuple
    attention: Tensor
    kept: Tensor
    gain: float

    def __iter__(self) -> Iterator:
        return iter((self.rows, self.columns, self.attention, self.kept, self.gain))


def _unpack(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Split `[batch, tokens, 3 * d_model]` to scaled queries, keys and values, a head of a sample
    after the other, `[3, batch * heads, tokens, width]`."""
    parts = rearrange(qkv, "b c (n h k) -> n (b h) c k", n=3, h=heads)
    parts = parts.clone(memory_format=torch.contiguous_format)  # never the caller's own memory
    parts[0] *= scale
    return parts


def _maps(ctx: FunctionCtx, q: Tensor, k: Tensor) -> Iterator[Part]:
    """Compute the maps part by part, the same at every call for one context; `q` is scaled."""
    generator = torch.Generator().manual_seed(ctx.seed)
    future = None
    if ctx.is_causal:
        length = q.shape[1]
        future = torch.full((length, length), float("-inf"), dtype=q.dtype).triu_(1)
    for rows, columns in _cut(*q.shape[:2], ctx.is_causal):
        scores = _by_transposed(q[rows], k[columns])
        if future is not None:
            scores += future[rows[1], columns[1]]
        kept, gain = draw_kept(scores.shape, ctx.dropout, generator)
        yield Part(rows, columns, torch.softmax(scores, dim=-1), kept, gain)


def _cut(heads: int, tokens: int, is_causal: bool) -> Iterator[tuple[tuple, tuple]]:
    """Cut the maps of all heads: yield which heads and queries, and which heads and keys."""
    if tokens < WIDE:
        size = max(1, CHUNK // tokens**2)
        for start in range(0, heads, size):
            part = (slice(start, start + size), slice(None))
            yield part, part
        return
    bands = -(-tokens // WIDE) if is_causal else 1
    height = -(-tokens // bands)
    for head in range(heads):
        for start in range(0, tokens, height):
            end = min(start + height, tokens)
            yield (head, slice(start, end)), (head, slice(end if is_causal else tokens))


def _by_transposed(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a b^T` of matrices or of batches of them."""
    return linear(a, b) if a.dim() == 2 else torch.bmm(a, b.transpose(1, 2))


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a b`."""
    return linear(a, b.t()) if a.dim() == 2 else torch.bmm(a, b)


def _transposed_times(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a^T b`, where `b` is the smaller one."""
    return linear(b.t(), a.t()).t() if a.dim() == 2 else torch.bmm(a.transpose(1, 2), b)
