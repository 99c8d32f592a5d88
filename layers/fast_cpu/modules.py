"""The fast classes. Each computes the same as its base class, and calls it in all cases that it has
no fast way for.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu.attention import DropoutAttention
from layers.fast_cpu.dropout import Dropout, draws_masks
from layers.fast_cpu.products import linear, on_cpu


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
            return Dropout.apply(input, self.p)
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
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        own = query is key is value
        known = (
            key_padding_mask is None
            and attn_mask is None
            and not (need_weights or is_causal)
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
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights,
                is_causal,
            )  # fmt: skip
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
    """A post-norm layer that calls its fast modules at evaluation, too.

    There `nn.TransformerEncoderLayer` calls a fused kernel, which does not use oneDNN.
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        known = (
            src_mask is None
            and src_key_padding_mask is None
            and not (is_causal or self.norm_first)
            and on_cpu(src)
        )
        if not known:
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)
        x = self.norm1(src + self._sa_block(src, None, None))
        return self.norm2(x + self._ff_block(x))


FAST = {
    nn.Linear: FastLinear,
    Conv1D: FastConv1D,
    nn.Dropout: FastDropout,
    nn.MultiheadAttention: FastMultiheadAttention,
    nn.TransformerEncoderLayer: FastTransformerEncoderLayer,
}
