"""The fast classes: each computes what its base class does, where it knows how.

Every `forward` looks at the state of its module at each call, and leaves what it does not know to
its base class.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from einops import rearrange
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from transformers.activations import GELUTanh
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.pytorch_utils import Conv1D

from layers.fast_cpu.attention import DropoutAttention
from layers.fast_cpu.dropout import Dropout, draws_masks
from layers.fast_cpu.products import (
    frozen_mlp,
    frozen_product,
    is_float32_on_cpu,
    linear,
    on_cpu,
    pack,
    pack_folded,
    pack_folded_transposed,
    pack_transposed,
    product,
)
from layers.fast_cpu.weights import Cached, is_watched


class Projection(nn.Module):
    """A projection with a weight, and a bias or None.

    Attributes:
        packed, packed_backward: its frozen weight, laid out for the product and for its gradient.
        folded: makes a copy of it with a low-rank update, laid out for the product.
    """

    def is_frozen(self) -> bool:
        """Tell whether neither weight nor bias is trained."""
        return not any(p is not None and p.requires_grad for p in (self.weight, self.bias))


class FastLinear(Projection, nn.Linear):
    """`nn.Linear` by oneDNN; a frozen weight is laid out once."""

    packed = cached_property(lambda self: Cached(pack))
    packed_backward = cached_property(lambda self: Cached(pack_transposed))
    folded = staticmethod(pack_folded)

    def forward(self, input: Tensor) -> Tensor:
        if is_float32_on_cpu(input, self.weight) and self.is_frozen():
            return frozen_product(input, self)
        return linear(input, self.weight, self.bias)


class FastConv1D(Projection, Conv1D):
    """GPT-2's projection by oneDNN; a frozen weight is laid out once."""

    packed = cached_property(lambda self: Cached(pack_transposed))
    packed_backward = cached_property(lambda self: Cached(pack))
    folded = staticmethod(pack_folded_transposed)

    def forward(self, x: Tensor) -> Tensor:
        if is_float32_on_cpu(x, self.weight) and self.is_frozen():
            return frozen_product(x, self)
        return linear(x, self.weight.t(), self.bias)


class FastDropout(nn.Dropout):
    """`nn.Dropout` with four draws from one random number."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and not self.inplace and draws_masks(input, self.p):
            return Dropout.apply(input, self.p)
        return super().forward(input)


class FastGPT2MLP(GPT2MLP):
    """GPT-2's frozen feed-forward part, with GELU in the product or its gradient in place."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        x, c_fc, c_proj = hidden_states, self.c_fc, self.c_proj
        known = (
            type(c_fc) is type(c_proj) is FastConv1D
            and c_fc.is_frozen()
            and c_proj.is_frozen()
            and type(self.act) is GELUTanh
            and is_float32_on_cpu(x, c_fc.weight, c_proj.weight)
            and not _has_hooks(c_fc, self.act, c_proj)
        )
        if not known:
            return super().forward(x)
        return self.dropout(frozen_mlp(x, c_fc, c_proj))


class FastLoraLinear(LoraLinear):
    """peft's LoRA; without gradients, the update is folded into a laid-out copy of the weight."""

    folded = cached_property(lambda self: Cached(type(self.base_layer).folded))

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        name = self._plain_adapter()
        if name is None or args or kwargs or not on_cpu(x):
            return super().forward(x, *args, **kwargs)
        base, a, b = self.base_layer, self.lora_A[name], self.lora_B[name]
        if x.dtype != a.weight.dtype:  # peft casts
            return super().forward(x)
        scaling = self.scaling[name]
        foldable = (
            not (self.training or torch.is_grad_enabled())
            and isinstance(base, Projection)
            and is_watched(base.weight)
            and is_float32_on_cpu(x, base.weight, a.weight, b.weight)
            and b.bias is None
            and not _has_hooks(base, a, b, self.lora_dropout[name])
        )
        if foldable:
            weight = self.folded.get(base.weight, a.weight, b.weight, scaling=scaling)
            return product(x, weight, base.bias)
        return base(x).add(b(a(self.lora_dropout[name](x))), alpha=scaling)

    def train(self, mode: bool = True) -> "FastLoraLinear":
        """Switch modes; training frees what only evaluation needs."""
        if mode:
            self.folded.clear()
        return super().train(mode)

    def _plain_adapter(self) -> str | None:
        """The name of the only active adapter, if it is a plain LoRA that is neither disabled nor
        merged."""
        active = self.active_adapters
        if self.disable_adapters or self.merged or len(active) != 1:
            return None
        name = active[0]
        return name if name in self.lora_A and name not in self.lora_variant else None


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
        packed = query is key is value and draws_masks(query, dropout)
        known = (
            key_padding_mask is None
            and attn_mask is None
            and not (need_weights or is_causal)
            and query.dim() == 3
            and on_cpu(query)
            and (packed or dropout == 0)
            and self.batch_first
            and self._qkv_same_embed_dim
            and self.in_proj_bias is not None
            and self.bias_k is None
            and not self.add_zero_attn
        )
        if not known:
            masks = {"key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
            weights = {"need_weights": need_weights, "average_attn_weights": average_attn_weights}
            return super().forward(query, key, value, **masks, **weights, is_causal=is_causal)
        if packed:
            qkv = linear(query, self.in_proj_weight, self.in_proj_bias)
            heads = rearrange(qkv, "b c (n h k) -> n b h c k", n=3, h=self.num_heads)
            y = DropoutAttention.apply(*heads, dropout, False, self.head_dim**-0.5).flatten(2)
        else:
            y = self._attend(query, key, value)
        return linear(y, self.out_proj.weight, self.out_proj.bias), None

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend without dropout, before the output projection."""
        if query is key is value:
            qkv = linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
            qkv = map(linear, (query, key, value), weights, biases)
        heads = (rearrange(x, "b c (h k) -> b h c k", h=self.num_heads) for x in qkv)
        return rearrange(F.scaled_dot_product_attention(*heads), "b h c k -> b c (h k)")


class FastTransformerEncoderLayer(nn.TransformerEncoderLayer):
    """A post-norm layer that calls its modules at evaluation too, which are the fast ones.

    `nn.TransformerEncoderLayer` has a fused kernel for evaluation, which does not use oneDNN.
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
    GPT2MLP: FastGPT2MLP,
    LoraLinear: FastLoraLinear,
    nn.MultiheadAttention: FastMultiheadAttention,
    nn.TransformerEncoderLayer: FastTransformerEncoderLayer,
}


def _has_hooks(*modules: nn.Module) -> bool:
    """Tell whether anyone wants to see these modules being called."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in modules
    )
