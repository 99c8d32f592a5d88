"""TimesNet: 2D variations within and between periods (Wu et al. 2023, arXiv 2210.02186, 3)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from layers.embedding_of_steps import StepEmbedding
from layers.inception import InceptionBlock
from layers.instance_norm import denormalise, standardise
from models.checks import check_task
from utils.errors import UserError
from utils.tasks import FORECASTING

WITH_MARKS = ("long_term_forecast", "imputation")  # the tasks whose data have time marks


def periods(x: Tensor, top_k: int) -> tuple[list[int], Tensor]:
    """Find the periods of the strongest frequencies of a batch (equations 1 and 2).

    Args:
        x: `[batch, length, channels]`.
        top_k: number of periods, at most length // 2.

    Returns:
        The periods in steps, the strongest first, and the amplitudes `[batch, top_k]` of their
        frequencies in each window.
    """
    amplitude = torch.fft.rfft(x.float(), dim=1).abs().mean(dim=2)
    frequency = amplitude[:, 1:].detach().mean(dim=0).topk(top_k).indices + 1
    return (x.shape[1] // frequency).tolist(), amplitude[:, frequency]


class TimesBlock(nn.Module):
    """Fold the series by each period, convolve in 2D, unfold, and add up (equations 3 to 6)."""

    def __init__(self, d_model: int, d_ff: int, top_k: int, num_kernels: int):
        super().__init__()
        self.top_k = top_k
        self.conv = nn.Sequential(
            InceptionBlock(d_model, d_ff, num_kernels),
            nn.GELU(),
            InceptionBlock(d_ff, d_model, num_kernels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, length, d_model]` to that shape."""
        length = x.shape[1]
        found, amplitude = periods(x, self.top_k)
        weight = rearrange(amplitude.softmax(dim=1), "b k -> k b 1 1")
        y = x
        for i, period in enumerate(found):
            padded = F.pad(x, (0, 0, 0, -length % period))
            folded = rearrange(padded, "b (n p) d -> b d n p", p=period)
            unfolded = rearrange(self.conv(folded), "b d n p -> b (n p) d")
            y = y + weight[i] * unfolded[:, :length]
        return y


class Model(nn.Module):
    """Embedded steps, extended by the horizon, through blocks that look for periods.

    Periods are those of a whole batch: a batch must not be split.

    Args:
        configs: task_name, seq_len, pred_len, enc_in, c_out, d_model, d_ff, e_layers, top_k,
            num_kernels, dropout; freq and embed: the kind of time marks; num_class for
            classification.

    Raises:
        UserError: unknown task, or a series has fewer frequencies than `top_k`.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("TimesNet", configs.task_name)
        self.pred_len = configs.pred_len if configs.task_name in FORECASTING else 0
        length = configs.seq_len + self.pred_len
        if configs.top_k > length // 2:
            has = f"a series of {length} steps has {length // 2} frequencies"
            raise UserError(f"--top_k {configs.top_k}: {has}; choose fewer")
        freq = configs.freq if configs.task_name in WITH_MARKS else None
        self.embedding = StepEmbedding(
            configs.seq_len, configs.enc_in, configs.d_model, configs.dropout, freq, configs.embed
        )
        if self.pred_len:
            self.extend = nn.Linear(configs.seq_len, length)
        self.blocks = nn.ModuleList(
            TimesBlock(configs.d_model, configs.d_ff, configs.top_k, configs.num_kernels)
            for _ in range(configs.e_layers)
        )
        self.layer_norm = nn.LayerNorm(configs.d_model)
        self.classifies = configs.task_name == "classification"
        if self.classifies:
            self.dropout = nn.Dropout(configs.dropout)
            self.projection = nn.Linear(configs.d_model * configs.seq_len, configs.num_class)
        else:
            self.projection = nn.Linear(configs.d_model, configs.c_out)

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Predict `[batch, steps, channels]`, or logits `[batch, num_class]`, from windows `x_enc`
        `[batch, seq_len, channels]` and their time marks `[batch, seq_len, marks]`, for
        classification 1 where a step is real and 0 where it is padding, `[batch, seq_len]`. For
        imputation, `mask`, shaped as `x_enc`, is 1 where it is observed and 0 where it is masked
        and 0."""
        if self.classifies:
            features = self.dropout(F.gelu(self.encode(self.embedding(x_enc))))
            if x_mark_enc is not None:
                features = features * rearrange(x_mark_enc, "b l -> b l 1")
            return self.projection(rearrange(features, "b l d -> b (l d)"))
        x, mean, scale = standardise(x_enc, mask)
        tokens = self.embedding(x, x_mark_enc)
        if self.pred_len:
            tokens = rearrange(self.extend(rearrange(tokens, "b l d -> b d l")), "b d l -> b l d")
        y = self.projection(self.encode(tokens))
        return denormalise(y[:, -self.pred_len :], mean, scale)

    def encode(self, tokens: Tensor) -> Tensor:
        """Apply the blocks to `[batch, length, d_model]`; all share the layer norm."""
        for block in self.blocks:
            tokens = self.layer_norm(block(tokens))
        return tokens
