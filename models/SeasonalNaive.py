"""The seasonal naive forecast (Hyndman and Athanasopoulos, FPP3, section 5.2)."""

from torch import Tensor, nn

from models.checks import check_task
from utils.errors import UserError
from utils.naive import seasonal_naive
from utils.tasks import FORECASTING


class Model(nn.Module):
    """A forecast without parameters: the last season repeats.

    Args:
        configs: task_name, seq_len, pred_len; season_length in steps.

    Raises:
        UserError: the task is no forecasting task, the season is unknown, or the look-back is
            shorter.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("SeasonalNaive", configs.task_name, FORECASTING)
        if not configs.season_length:
            raise UserError("the dates tell no season: give the steps of one by --season_length")
        if configs.season_length > configs.seq_len:
            longer = f"{configs.season_length} steps is longer than --seq_len {configs.seq_len}"
            raise UserError(f"a season of {longer}: give another one or --season_length")
        self.pred_len, self.season_length = configs.pred_len, configs.season_length

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Forecast `[batch, pred_len, channels]` from `x_enc` `[batch, seq_len, channels]`."""
        return seasonal_naive(x_enc, self.pred_len, self.season_length)
