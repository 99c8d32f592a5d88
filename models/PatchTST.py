"""PatchTST: attention between patches of a channel (Nie et al. 2023, arXiv 2211.14730, 3.1)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from layers.instance_norm import denormalise, standardise
from layers.patching import patch_count, patches
from models.checks import check_task, check_transformer
from utils.tasks import FORECASTING


class EncoderLayer(nn.Module):
    """A transformer encoder layer with batch normalisation after each residual."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float, activation: str):
        super().__init__()
        self.attention = nn.MultiheadAttention(d_model, n_heads, dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, d_ff),
            nn.GELU() if activation == "gelu" else nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(d_ff, d_model),
        )
        self.norm1, self.norm2 = nn.BatchNorm1d(d_model), nn.BatchNorm1d(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Map tokens `[series, patches, d_model]` to tokens of that shape."""
        attended, _ = self.attention(z, z, z, need_weights=False)
        z = normalise(self.norm1, z + self.dropout(attended))
        return normalise(self.norm2, z + self.dropout(self.feed_forward(z)))


def normalise(norm: nn.BatchNorm1d, z: Tensor) -> Tensor:
    """Apply batch normalisation to the features of tokens `[series, patches, d_model]`."""
    return rearrange(norm(rearrange(z, "s n d -> s d n")), "s d n -> s n d")


class FlattenHead(nn.Module):
    """Time-Series-Library's head, by its names, for the models there that import it, such as
    Crossformer. The model below drops features out before the projection.

    Args:
        n_vars: channels, which share the weights. nf: features of a channel.
        target_window: steps to predict.
    """

    def __init__(self, n_vars: int, nf: int, target_window: int, head_dropout: float = 0):
        super().__init__()
        self.linear = nn.Linear(nf, target_window)
        self.dropout = nn.Dropout(head_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map features `[batch, n_vars, d_model, patches]` to `[batch, n_vars, target_window]`."""
        return self.dropout(self.linear(rearrange(x, "b c d n -> b c (d n)")))


class Model(nn.Module):
    """Patches of each channel are the tokens; all channels share the weights.

    Batch normalisation mixes windows: a batch must not be split.

    Args:
        configs: task_name, seq_len, pred_len, patch_len, stride, d_model, n_heads, e_layers, d_ff,
            dropout, activation; enc_in and num_class for classification.

    Raises:
        UserError: unknown task or activation, the heads do not divide the width, or the patches
            are longer than the padded look-back.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("PatchTST", configs.task_name)
        check_transformer(configs.d_model, configs.n_heads, configs.activation)
        self.patch_len, self.stride = configs.patch_len, configs.stride
        count = patch_count(configs.seq_len, configs.patch_len, configs.stride)
        self.embedding = nn.Linear(configs.patch_len, configs.d_model)
        self.position = nn.Parameter(torch.empty(count, configs.d_model).uniform_(-0.02, 0.02))
        self.dropout = nn.Dropout(configs.dropout)
        sizes = configs.d_model, configs.n_heads, configs.d_ff, configs.dropout, configs.activation
        self.encoder = nn.Sequential(*(EncoderLayer(*sizes) for _ in range(configs.e_layers)))
        self.classifies = configs.task_name == "classification"
        features = configs.d_model * count
        if self.classifies:
            self.head = nn.Linear(features * configs.enc_in, configs.num_class)
        else:
            steps = configs.pred_len if configs.task_name in FORECASTING else configs.seq_len
            self.head = nn.Linear(features, steps)

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Predict `[batch, steps, channels]`, or logits `[batch, num_class]`, from windows `x_enc`
        `[batch, seq_len, channels]`; for imputation, `mask`, of that shape, is 1 where `x_enc` is
        observed and 0 where it is masked and 0. Marks and `x_dec` are not used."""
        x, mean, scale = standardise(x_enc, mask)
        features = self.encode(x)
        axes = "b (c n d)" if self.classifies else "b c (n d)"
        y = self.head(self.dropout(rearrange(features, f"b c n d -> {axes}")))
        if self.classifies:
            return y
        return denormalise(rearrange(y, "b c p -> b p c"), mean, scale)

    def encode(self, x: Tensor) -> Tensor:
        """Map series `[batch, length, channels]` to `[batch, channels, patches, d_model]`."""
        z = self.embedding(patches(x, self.patch_len, self.stride)) + self.position
        z = self.encoder(rearrange(self.dropout(z), "b c n d -> (b c) n d"))
        return rearrange(z, "(b c) n d -> b c n d", c=x.shape[2])
