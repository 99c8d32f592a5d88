"""The naive forecast: the last value persists (Hyndman and Athanasopoulos, FPP3, section 5.2)."""

from torch import Tensor, nn

from models.checks import check_task
from utils.naive import seasonal_naive
from utils.tasks import FORECASTING


class Model(nn.Module):
    """A forecast without parameters.

    Args:
        configs: task_name, pred_len.

    Raises:
        UserError: the task is no forecasting task.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("LastValue", configs.task_name, FORECASTING)
        self.pred_len = configs.pred_len

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Forecast `[batch, pred_len, channels]` from `x_enc` `[batch, seq_len, channels]`."""
        return seasonal_naive(x_enc, self.pred_len, 1)
