"""Forecast errors, accumulated over batches."""

import torch
from torch import Tensor

EPS = 1e-8  # added to true values that are divided by


class ErrorSums:
    """Sums of errors over batches, in float64 on their device until `metrics` reads them."""

    NAMES = ("mae", "mse", "rmse", "mape", "mspe")

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, pred: Tensor, true: Tensor) -> None:
        """Add a batch of predictions and true values of the same shape."""
        error = pred - true
        relative = error / (true + EPS)
        sums = torch.stack(
            [
                error.abs().sum(dtype=torch.float64),
                error.square().sum(dtype=torch.float64),
                relative.abs().sum(dtype=torch.float64),
                relative.square().sum(dtype=torch.float64),
            ]
        )
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += error.numel()

    def metrics(self) -> dict[str, float]:
        """Return mae, mse, rmse, mape (in %) and mspe (a fraction), as the published code."""
        if self._sums is None:
            return dict.fromkeys(self.NAMES, float("nan"))
        mae, mse, mape, mspe = (self._sums / self._count).tolist()
        return {"mae": mae, "mse": mse, "rmse": mse**0.5, "mape": 100 * mape, "mspe": mspe}
