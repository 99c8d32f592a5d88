"""The cross-modal match module: from channels to temporal tokens to textual tokens."""

import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from layers.covariates import with_covariates


class CrossModalMatch(nn.Module):
    """Temporal tokens by self-attention, textual tokens by attention to word embeddings.

    Source: `docs/method.md` section 2.

    Args:
        seq_len: look-back L, the width of a raw token.
        word_embeddings: principal word embeddings `[d_model, components]`, a component in each
            column, as `pca.py` writes them. With 0 components there is no cross-attention: the
            textual tokens are the temporal tokens.
        n_heads: of both attentions. dropout: of the encoder layer.
        scale_free: divide principal words and textual tokens by their root mean square, which is
            about 1 for temporal tokens (`docs/method.md`, section 11).
        steps_ahead: look-back and horizon L + P of covariates that are known ahead; 0 without any.
    """

    def __init__(
        self,
        seq_len: int,
        word_embeddings: Tensor,
        n_heads: int = 12,
        dropout: float = 0.1,
        scale_free: bool = False,
        steps_ahead: int = 0,
    ):
        super().__init__()
        d_model = word_embeddings.shape[0]
        self.linear = nn.Linear(seq_len, d_model)
        layer = nn.TransformerEncoderLayer(d_model, n_heads, dropout=dropout, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.cross_attention, self.scale_free = None, scale_free
        if word_embeddings.shape[1] > 0:
            self.cross_attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
            self.register_buffer("word_embedding", word_embeddings.T.contiguous(), persistent=False)
        self.linear_ahead = nn.Linear(steps_ahead, d_model) if steps_ahead else None

    def temporal_tokens(
        self, x: Tensor, past: Tensor | None = None, future: Tensor | None = None
    ) -> Tensor:
        """Embed the channels of `x` `[batch, channels, length]` as X_time `[batch, tokens,
        d_model]`, covariates before them; see `layers.covariates.with_covariates`."""
        tokens = with_covariates(self.linear(x), past, future, self.linear, self.linear_ahead)
        return self.transformer_encoder(tokens)

    def textual_tokens(self, x_time: Tensor) -> Tensor:
        """Attend from X_time to the word embeddings: X_text `[batch, channels, d_model]`.

        All tokens of the batch form one long query, so that keys and values, which do not depend
        on the sample, are computed once.
        """
        if self.cross_attention is None:
            return x_time
        x_text, _ = self._attend(x_time, need_weights=False)
        x_text = unit_rms(x_text) if self.scale_free else x_text
        return rearrange(x_text, "1 (b c) d -> b c d", b=len(x_time))

    def word_attention(self, x_time: Tensor) -> Tensor | None:
        """Return the weights of the cross-attention, means over samples and heads, `[channels,
        components]`; None if there is none. The maps of all samples are in memory."""
        if self.cross_attention is None:
            return None
        _, weights = self._attend(x_time, need_weights=True)
        return reduce(weights, "1 (b c) n -> c n", "mean", b=len(x_time))

    def _attend(self, x_time: Tensor, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Attend from all tokens to the word embeddings; see `nn.MultiheadAttention`."""
        query = rearrange(x_time, "b c d -> 1 (b c) d")
        embeddings = rearrange(self.word_embedding, "n d -> 1 n d")
        embeddings = unit_rms(embeddings) if self.scale_free else embeddings
        return self.cross_attention(query, embeddings, embeddings, need_weights=need_weights)


def unit_rms(x: Tensor) -> Tensor:
    """Divide vectors `[.., width]` by their root mean square."""
    return F.rms_norm(x, x.shape[-1:])
