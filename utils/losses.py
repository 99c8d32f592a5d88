"""Losses by name, the loss of a task, and CALF's weighted sum of three."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.batch import Batch, Weight
from utils.errors import UserError

WHOLE = Weight()
Loss = Callable[[Tensor, Tensor], Tensor]
SeriesLoss = Callable[[Tensor, Tensor, Batch], Tensor]
FEATURE_DECAY = 0.8
POINT_LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "mse": F.mse_loss,
    "ce": F.cross_entropy,
}


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; non-finite quotients become 0."""
    return torch.nan_to_num(numerator / denominator, nan=0.0, posinf=0.0, neginf=0.0)


# Losses of M4: of forecasts and targets `[batch, steps, 1]` and of their batch


def mape_loss(forecast: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Mean absolute percentage error, as a fraction."""
    return ((forecast - target) * _divide(batch.y_mask, target)).abs().mean()


def smape_loss(forecast: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Symmetric percentage error, 0 to 200, its scale detached."""
    scale = forecast.detach().abs() + target.detach().abs()
    return 200 * (_divide((forecast - target).abs(), scale) * batch.y_mask).mean()


def mase_loss(forecast: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Error scaled by that of the seasonal naive forecast within the in-sample window."""
    x, period = batch.x, batch.period
    naive = (x[:, period:] - x[:, :-period]).abs().mean(dim=1, keepdim=True)
    return ((target - forecast).abs() * _divide(batch.y_mask, naive)).mean()


SERIES_LOSSES: dict[str, SeriesLoss] = {"smape": smape_loss, "mase": mase_loss, "mape": mape_loss}


def feature_regularisation(
    loss: Loss, features_time: Iterable[Tensor], features_text: Iterable[Tensor]
) -> Tensor:
    """Align the branches layer by layer: sum over i of 0.8^(N-i) loss(time_i, text_i).

    Args:
        loss: compares two features.
        features_time, features_text: the N + 1 projected hidden states of each branch,
            `[batch, channels, d_model]`, the deepest last.

    Source: paper section "Feature Regularization Loss" (docs/method.md, section 4).
    """
    total = 0.0
    for time, text in zip(features_time, features_text, strict=True):
        total = FEATURE_DECAY * total + loss(time, text)
    return total


def choose_loss(args: object, option: str) -> Loss | SeriesLoss:
    """Return the loss that an option names; a `UserError` if this task has no such loss."""
    names = [name for name in POINT_LOSSES if name != "ce"]
    if args.task_name == "classification" and option == "task_loss":
        names = ["ce"]
    if args.task_name == "short_term_forecast" and option != "feature_loss":
        names = [*SERIES_LOSSES, *names]
    name = getattr(args, option)
    if name not in names:
        raise UserError(
            f"--{option} {name} is not a loss of {args.task_name}: use one of {', '.join(names)}"
        )
    return (POINT_LOSSES | SERIES_LOSSES)[name]


def compare(loss: Loss | SeriesLoss, ours: Tensor, theirs: Tensor, batch: Batch) -> Tensor:
    """Compute a loss between the scored entries of a batch; 0 if there is none, as the mean would
    be 0/0."""
    ours, theirs = batch.scored(ours), batch.scored(theirs)
    if theirs.numel() == 0:
        return ours.sum()
    if loss in SERIES_LOSSES.values():
        return loss(ours, theirs, batch)
    return loss(ours, theirs)


@dataclass(frozen=True)
class CALFLoss:
    """The total loss: task + output consistency + feature regularisation, of predictions and truth,
    of the branches' outputs, and of their features, each with its weight (docs/method.md, section
    4)."""

    task: Loss | SeriesLoss
    output: Loss | SeriesLoss
    feature: Loss
    task_w: float = 1.0
    output_w: float = 1.0
    feature_w: float = 0.01

    @classmethod
    def from_args(cls, args: object) -> "CALFLoss":
        """Read the names and loss weights of the command line; see `choose_loss`."""
        options = ("task_loss", "output_loss", "feature_loss")
        chosen = [choose_loss(args, option) for option in options]
        return cls(*chosen, args.task_w, args.output_w, args.feature_w)

    @property
    def needs_text_branch(self) -> bool:
        """Whether the textual branch has to run: not when both alignment weights are 0."""
        return self.output_w != 0 or self.feature_w != 0

    @property
    def needs_features(self) -> bool:
        """Whether the hidden states have to be projected."""
        return self.feature_w != 0

    def __call__(self, output: object, batch: Batch, weight: Weight = WHOLE) -> dict[str, Tensor]:
        """Compute the terms whose loss weight is not 0 of `models.CALF.CALFOutput`.

        Returns:
            `total`, the scalar to minimise, and its terms `task`, `output` and `feature`, times
            their loss weights, detached. Those of the micro-batches of a batch, each with its
            weight, add up to those of the batch.
        """
        time = output.outputs_time
        parts = dict.fromkeys(("task", "output", "feature"), time.new_zeros(()))
        total = parts["task"] = self.task_w * compare(self.task, time, batch.y, batch)
        if self.output_w != 0:
            parts["output"] = self.output_w * compare(self.output, time, output.outputs_text, batch)
            total = total + parts["output"]
        total = weight.scored * total
        for name in ("task", "output"):
            parts[name] = weight.scored * parts[name].detach()
        if self.feature_w != 0:
            pairs = output.features_time, output.features_text
            features = feature_regularisation(self.feature, *pairs)
            parts["feature"] = self.feature_w * weight.windows * features
            total = total + parts["feature"]
        return {"total": total, **{name: part.detach() for name, part in parts.items()}}
