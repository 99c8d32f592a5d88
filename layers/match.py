"""The cross-modal match module: channels become temporal tokens, and these textual tokens."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from layers.attention import self_attention
from layers.dropout import dropout
from layers.linear import Linear, linear


class CrossModalMatch(nn.Module):
    """Temporal tokens by self-attention, textual tokens by attention to principal words.

    Args:
        seq_len: look-back L, the width of a raw token.
        words: principal word embeddings `[d_model, components]`, one column a word, as `pca.py`
            writes them.
        n_heads: attention heads of both attentions.
        d_ff: width of the encoder layer's feed-forward part.
        dropout: dropout of the encoder layer.

    Source: paper section "Cross-Modal Match Module".
    """

    def __init__(
        self, seq_len: int, words: Tensor, n_heads: int = 12, d_ff: int = 2048, dropout: float = 0.1
    ):
        super().__init__()
        d_model = words.shape[0]
        self.linear = Linear(seq_len, d_model)
        layer = nn.TransformerEncoderLayer(d_model, n_heads, d_ff, dropout, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.cross_attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
        self.register_buffer("word_embedding", words.T.contiguous(), persistent=False)

    def temporal_tokens(self, x: Tensor) -> Tensor:
        """Embed the channels of `x` `[batch, channels, length]` as X_time `[.., .., d_model]`."""
        x = self.linear(x)
        layer = self.transformer_encoder.layers[0]
        attention = layer.self_attn
        qkv = linear(x, attention.in_proj_weight, attention.in_proj_bias)
        attn_dropout = attention.dropout if self.training else 0.0
        mixed = _apply(attention.out_proj, self_attention(qkv, attention.num_heads, attn_dropout))
        x = layer.norm1(x + dropout(mixed, layer.dropout1.p, self.training))
        inner = layer.activation(_apply(layer.linear1, x))
        inner = dropout(inner, layer.dropout.p, self.training)
        outer = dropout(_apply(layer.linear2, inner), layer.dropout2.p, self.training)
        return layer.norm2(x + outer)

    def textual_tokens(self, x_time: Tensor) -> Tensor:
        """Attend from X_time to the principal words: X_text `[batch, channels, d_model]`.

        Keys and values do not depend on the sample, so they are computed once, and all tokens of
        the batch are one long query.
        """
        attention = self.cross_attention
        w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
        b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
        h = attention.num_heads
        query = rearrange(linear(x_time, w_q, b_q), "b c (h k) -> 1 h (b c) k", h=h)
        key = rearrange(linear(self.word_embedding, w_k, b_k), "d (h k) -> 1 h d k", h=h)
        value = rearrange(linear(self.word_embedding, w_v, b_v), "d (h k) -> 1 h d k", h=h)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = rearrange(mixed, "1 h (b c) k -> b c (h k)", b=len(x_time))
        return _apply(attention.out_proj, mixed)


def _apply(module: nn.Linear, x: Tensor) -> Tensor:
    """Apply one of PyTorch's own linear modules by our product."""
    return linear(x, module.weight, module.bias)
