"""Self-attention with dropout that stores no attention maps.

It is registered with Transformers as the attention function `FAST_CPU`.
"""

from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from layers.fast_cpu.dropout import draw_keep_mask, draws_masks, scale_of_kept
from layers.fast_cpu.products import linear

FAST_CPU = "fast_cpu"
CHUNK = 1 << 20  # entries of the maps computed at a time: 4 MB, a processor's cache
WIDE = 256  # from so many tokens on, heads go one by one, and causal maps in bands of rows


class DropoutAttention(torch.autograd.Function):
    """Scaled dot-product attention of every token to those of its sample, with dropout
    (docs/fast_cpu.md).

    The maps are computed in parts, and again in the backward pass; only maps narrower than a head
    are stored. Masks follow from a seed drawn from PyTorch's random state.

    `apply(query, key, value, dropout, is_causal, scale)` takes `[batch, heads, tokens, width]`
    three times, and returns `[batch, tokens, heads, width]`.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        dropout: float,
        is_causal: bool,
        scale: float,
    ) -> Tensor:
        # a head of a sample after the other, `[3, batch * heads, tokens, width]`
        q, k, v = packed = torch.stack((query * scale, key, value)).flatten(1, 2)
        ctx.heads, ctx.dropout, ctx.is_causal, ctx.scale = query.shape[1], dropout, is_causal, scale
        ctx.seed, ctx.scale_of_kept = int(torch.randint(2**62, ())), scale_of_kept(dropout)
        ctx.maps = list(_maps(ctx, q, k)) if q.shape[1] < q.shape[2] else None
        mixed = torch.empty_like(q)
        for rows, columns, attention, keep_mask in ctx.maps or _maps(ctx, q, k):
            weights = (attention * keep_mask).mul_(ctx.scale_of_kept)
            mixed[rows] = _by_transposed(weights, v[columns].mT)
        ctx.save_for_backward(packed)
        return rearrange(mixed, "(b h) c k -> b c h k", h=ctx.heads).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors[0]
        grad_y = rearrange(grad_y, "b c h k -> (b h) c k").contiguous()
        grad_packed = q.new_zeros(3, *q.shape)
        grad_q, grad_k, grad_v = grad_packed
        for rows, columns, attention, keep_mask in ctx.maps or _maps(ctx, q, k):
            factor = keep_mask.to(attention.dtype).mul_(ctx.scale_of_kept)
            grad_scores = _by_transposed(grad_y[rows], v[columns])
            grad_scores.mul_(factor).mul_(attention)
            grad_scores.addcmul_(attention, grad_scores.sum(dim=-1, keepdim=True), value=-1)
            grad_v[columns] += _transposed_times(factor.mul_(attention), grad_y[rows])
            grad_q[rows] = _by_transposed(grad_scores, k[columns].mT)
            grad_k[columns] += _transposed_times(grad_scores, q[rows])
        grad_q *= ctx.scale
        return *rearrange(grad_packed, "n (b h) c k -> n b h c k", h=ctx.heads), None, None, None


def _maps(ctx: FunctionCtx, q: Tensor, k: Tensor) -> Iterator[tuple[tuple, tuple, Tensor, Tensor]]:
    """Compute the maps part by part, the same at every call for one context; `q` is scaled.

    Yields:
        Which heads and queries, which heads and keys, their softmax `[.., queries, keys]`, and the
        mask of its entries, see `draw_keep_mask`.
    """
    generator = torch.Generator().manual_seed(ctx.seed)
    future = None
    if ctx.is_causal:
        length = q.shape[1]
        future = torch.full((length, length), float("-inf"), dtype=q.dtype).triu_(1)
    for rows, columns in _cut(*q.shape[:2], ctx.is_causal):
        scores = _by_transposed(q[rows], k[columns])
        if future is not None:
            scores += future[rows[1], columns[1]]
        keep_mask = draw_keep_mask(scores.shape, ctx.dropout, generator)
        yield rows, columns, torch.softmax(scores, dim=-1), keep_mask


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


def _transposed_times(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a^T b`, where `b` is the smaller one."""
    return linear(b.t(), a.t()).t() if a.dim() == 2 else torch.bmm(a.transpose(1, 2), b)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **more: object,
) -> tuple[Tensor, None]:
    """Attention function of Transformers: with dropout and without a mask `DropoutAttention`, else
    PyTorch's fused kernel, as "sdpa". From a query `[batch, heads, tokens, width]`, key and value
    of as many heads or a fraction of them, to `[batch, tokens, heads, width]`, without maps."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    known = query[:, 0].shape == key[:, 0].shape == value[:, 0].shape and attention_mask is None
    if not (known and draws_masks(query, dropout)):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **more
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    key, value = (repeat_kv(x, query.shape[1] // x.shape[1]) for x in (key, value))
    return DropoutAttention.apply(query, key, value, dropout, causal, scale), None


ALL_ATTENTION_FUNCTIONS.register(FAST_CPU, attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(FAST_CPU, sdpa_mask)
