"""DLinear: decomposition and two linear layers (Zeng et al. 2023, arXiv 2205.13504, section 4)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from layers.decomposition import decompose
from models.checks import check_task
from utils.tasks import FORECASTING


class ChannelLinear(nn.Module):
    """A linear layer over time for each channel: `[batch, channels, length]` to `[.., .., steps]`.

    Initialised like `nn.Linear`.
    """

    def __init__(self, channels: int, seq_len: int, steps: int):
        super().__init__()
        bound = seq_len**-0.5
        self.weight = nn.Parameter(torch.empty(channels, steps, seq_len).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, steps).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bcl,cpl->bcp", x, self.weight) + self.bias


class Model(nn.Module):
    """Trend and seasonal part, each mapped to the output by one linear layer over time.

    Args:
        configs: task_name, seq_len, pred_len, moving_avg; `individual`: a layer for each of the
            `enc_in` channels instead of one for all; num_class for classification.

    Raises:
        UserError: unknown task.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("DLinear", configs.task_name)
        forecasts = configs.task_name in FORECASTING
        steps = configs.pred_len if forecasts else configs.seq_len
        self.kernel = configs.moving_avg
        if configs.individual:
            self.seasonal = ChannelLinear(configs.enc_in, configs.seq_len, steps)
            self.trend = ChannelLinear(configs.enc_in, configs.seq_len, steps)
        else:
            self.seasonal = nn.Linear(configs.seq_len, steps)
            self.trend = nn.Linear(configs.seq_len, steps)
        nn.init.constant_(self.seasonal.weight, 1 / configs.seq_len)
        nn.init.constant_(self.trend.weight, 1 / configs.seq_len)
        self.projection = None
        if configs.task_name == "classification":
            self.projection = nn.Linear(configs.enc_in * configs.seq_len, configs.num_class)
        self.tokens_per_window = configs.enc_in

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Predict `[batch, steps, channels]`, or logits `[batch, num_class]`, from windows `x_enc`
        `[batch, seq_len, channels]`; the others are not used."""
        seasonal, trend = (
            rearrange(part, "b l c -> b c l") for part in decompose(x_enc, self.kernel)
        )
        y = self.seasonal(seasonal) + self.trend(trend)
        if self.projection is not None:
            return self.projection(rearrange(y, "b c l -> b (l c)"))
        return rearrange(y, "b c p -> b p c")
