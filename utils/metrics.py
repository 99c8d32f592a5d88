"""Forecast errors, accumulated over batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

EPS = 1e-8  # added to true values that are divided by


class ErrorSums:
    """Sums of errors over batches, in float64 on their device until `metrics` reads them."""

    NAMES = ("mae", "mse", "rmse", "mape", "mspe")

    def __init__(self) -> None:
        self._sums: Tensor | int = 0
        self._count = 0

    def add(self, pred: Tensor, true: Tensor, scored: Tensor | None = None) -> None:
        """Add a batch of predictions and true values of the same shape.

        Args:
            scored: which entries are scored, bool of that shape; None scores all.
        """
        if scored is not None:
            pred, true = pred[scored], true[scored]
        error = pred - true
        relative = error / (true + EPS)
        terms = error.abs(), error.square(), relative.abs(), relative.square()
        self._sums = self._sums + torch.stack([term.sum(dtype=torch.float64) for term in terms])
        self._count += error.numel()

    def metrics(self) -> dict[str, float]:
        """Return mae, mse, rmse, mape (in %) and mspe (a fraction), as the published code."""
        if not self._count:
            return dict.fromkeys(self.NAMES, float("nan"))
        mae, mse, mape, mspe = (self._sums / self._count).tolist()
        return {"mae": mae, "mse": mse, "rmse": mse**0.5, "mape": 100 * mape, "mspe": mspe}


class PlacedErrorSums(ErrorSums):
    """`ErrorSums` of batches `[batch, steps, channels]`, by step and by channel too."""

    def __init__(self) -> None:
        super().__init__()
        self._by_place: Tensor | int = 0  # [squared, absolute, count; steps; channels]

    def add(self, pred: Tensor, true: Tensor, scored: Tensor | None = None) -> None:
        super().add(pred, true, scored)
        error = (pred - true).double()
        if scored is None:
            counts = error.new_full(error.shape[1:], len(error))
        else:
            error = error.where(scored, 0.0)  # not a product, which would keep NaN
            counts = scored.sum(0, dtype=torch.float64)
        sums = torch.stack([error.square().sum(0), error.abs_().sum(0), counts])
        self._by_place = self._by_place + sums

    def by_step(self) -> dict[str, list[float]]:
        """Return mse and mae of each step, means over windows and channels."""
        return dict(zip(("mse", "mae"), self._means(axis=2), strict=True))

    def by_channel(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return mse and mae of each channel, means over windows and steps.

        Args:
            names: of the channels, in the order of the last axis.
        """
        means = zip(names, *self._means(axis=1), strict=True)
        return {name: {"mse": mse, "mae": mae} for name, mse, mae in means}

    def _means(self, axis: int) -> list[list[float]]:
        """Average squared and absolute errors over windows and an axis of `_by_place`; NaN where
        no entry was scored."""
        squared, absolute, counts = self._by_place.sum(axis)
        return [(squared / counts).tolist(), (absolute / counts).tolist()]
