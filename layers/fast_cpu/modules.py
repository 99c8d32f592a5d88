"""The fast classes. Each computes the same as its base class, and calls it in all cases that it has
no fast way for.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu.attention import DropoutAttention
from layers.fast_cpu.dropout import draws_masks, drop_out
from layers.fast_cpu.products import linear, on_cpu


def is_masked(masks: Mapping[str, Tensor | bool | None]) -> bool:
    """Whether an attention is restricted by a mask, or causal."""
    return not all(mask is None or mask is False for mask in masks.values())


class FastLinear(nn.Linear):
    """`nn.Linear` by oneDNN."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class FastConv1D(Conv1D):
    """GPT-2's projection by oneDNN."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.t(), self.bias)


class FastDropout(nn.Dropout):
    """`nn.Dropout` with four entries of the mask from one random number."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and not self.inplace and draws_masks(input, self.p):
            return drop_out(input, self.p)
        return super().forward(input)


class FastMultiheadAttention(nn.MultiheadAttention):
    """Self-attention with dropout in parts, and cross-attention without dropout."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        *masks: Tensor | bool | None,
        **more: Tensor | bool | None,
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        own = query is key is value
        known = (
            key_padding_mask is None
            and not (need_weights or masks or is_masked(more))
            and query.dim() == 3
            and on_cpu(query)
            and (dropout == 0 or (own and draws_masks(query, dropout)))
            and self.batch_first
            and self._qkv_same_embed_dim
            and self.in_proj_bias is not None
            and self.bias_k is None
            and not self.add_zero_attn
        )
        if not known:
            return super().forward(
                query, key, value, key_padding_mask, need_weights, *masks, **more
            )
        if own:
            qkv = linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
            qkv = map(linear, (query, key, value), weights, biases)
        heads = [rearrange(x, "b c (h k) -> b h c k", h=self.num_heads) for x in qkv]
        if dropout:
            y = DropoutAttention.apply(*heads, dropout, False, self.head_dim**-0.5)
        else:
            y = F.scaled_dot_product_attention(*heads).transpose(1, 2)
        return linear(y.flatten(2), self.out_proj.weight, self.out_proj.bias), None


class FastTransformerEncoderLayer(nn.TransformerEncoderLayer):
    """A post-norm layer that calls its fast modules at evaluation, too, where
    `nn.TransformerEncoderLayer` calls a fused kernel, which does not use oneDNN."""

    def forward(self, src: Tensor, *masks: Tensor | None, **more: Tensor | bool | None) -> Tensor:
        if masks or is_masked(more) or self.norm_first or not on_cpu(src):
            return super().forward(src, *masks, **more)
        x = self.norm1(src + self._sa_block(src, None, None))
        return self.norm2(x + self._ff_block(x))


FAST = {
    nn.Linear: FastLinear,
    Conv1D: FastConv1D,
    nn.Dropout: FastDropout,
    nn.MultiheadAttention: FastMultiheadAttention,
    nn.TransformerEncoderLayer: FastTransformerEncoderLayer,
}
