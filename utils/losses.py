"""The losses of CALF: what a name on the command line means, and how they are added up."""

from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]

POINT_LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "mse": F.mse_loss,
    "ce": F.cross_entropy,
}

GapLoss = Callable[[Tensor], Tensor]

# the same losses of what two features differ by
GAP_LOSSES: dict[str, GapLoss] = {
    "l1": lambda gap: gap.abs().mean(),
    "smooth_l1": lambda gap: F.smooth_l1_loss(gap, torch.zeros_like(gap)),
    "mse": lambda gap: gap.square().mean(),
}

SeriesLoss = Callable[[Tensor, int, Tensor, Tensor, Tensor], Tensor]


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, and put 0 where that is not finite."""
    return torch.nan_to_num(numerator / denominator, nan=0.0, posinf=0.0, neginf=0.0)


def mape_loss(insample: Tensor, period: int, forecast: Tensor, target: Tensor, mask: Tensor):
    """Mean absolute percentage error, as a fraction; arguments as in `mase_loss`."""
    return ((forecast - target) * _divide(mask, target)).abs().mean()


def smape_loss(insample: Tensor, period: int, forecast: Tensor, target: Tensor, mask: Tensor):
    """Symmetric percentage error, 0 to 200, its scale detached; arguments as in `mase_loss`."""
    scale = forecast.detach().abs() + target.detach().abs()
    return 200 * (_divide((forecast - target).abs(), scale) * mask).mean()


def mase_loss(insample: Tensor, period: int, forecast: Tensor, target: Tensor, mask: Tensor):
    """Error scaled by that of the seasonal naive forecast within the in-sample window.

    Args:
        insample: `[batch, length, 1]`. period: steps of a season.
        forecast, target: `[batch, steps, 1]`.
        mask: 1 where the target is known, shape of `target`.
    """
    naive = (insample[:, period:] - insample[:, :-period]).abs().mean(dim=1, keepdim=True)
    return ((target - forecast).abs() * _divide(mask, naive)).mean()


SERIES_LOSSES: dict[str, SeriesLoss] = {
    "smape": smape_loss,
    "mase": mase_loss,
    "mape": mape_loss,
}

FEATURE_DECAY = 0.8


def feature_regularisation(loss: GapLoss, gaps: Iterable[Tensor]) -> Tensor:
    """Align the branches layer by layer: sum over i of 0.8^(N-i) loss(time_i - text_i).

    Args:
        loss: mean of a function of the gap between two features.
        gaps: N + 1 gaps between features, each `[batch, channels, d_model]`, the deepest last.

    Source: paper section "Feature Regularization Loss" (method section 4).
    """
    total = 0.0
    for gap in gaps:
        total = FEATURE_DECAY * total + loss(gap)
    return total


@dataclass(frozen=True)
class Share:
    """What part of its batch some windows are.

    Attributes:
        windows: of the windows. scored: of the entries that the supervised loss looks at.
    """

    windows: float
    scored: float | Tensor


class BranchOutputs(Protocol):
    """What a pass of the model gives; see `models.CALF.CALFOutput`."""

    outputs_time: Tensor
    outputs_text: Tensor | None

    def feature_gaps(self) -> Iterable[Tensor]: ...


@dataclass(frozen=True)
class CALFLoss:
    """The total loss: supervised + output consistency + feature regularisation (method section 4).

    Attributes:
        task, output, feature: how predictions, branch outputs and features are compared (features
            by their gap).
        task_w, output_w, feature_w: the weights of the three terms.
    """

    task: Loss
    output: Loss
    feature: GapLoss
    task_w: float = 1.0
    output_w: float = 1.0
    feature_w: float = 0.01

    @classmethod
    def of(cls, args: Namespace) -> "CALFLoss":
        """Choose by the names and weights of the command line.

        Raises:
            UserError: a loss is not known, or not for this task.
        """
        usual = ("l1", "smooth_l1", "mse")
        allowed = {"task_loss": usual, "output_loss": usual, "feature_loss": usual}
        if args.task_name == "classification":
            allowed["task_loss"] = ("ce",)
        if args.task_name == "short_term_forecast":
            allowed["task_loss"] = allowed["output_loss"] = (*SERIES_LOSSES, *usual)
        chosen = []
        for option, names in allowed.items():
            name = getattr(args, option)
            if name not in names:
                raise UserError(
                    f"--{option} {name} is not a loss of {args.task_name}: "
                    f"use one of {', '.join(names)}"
                )
            known = GAP_LOSSES if option == "feature_loss" else POINT_LOSSES | SERIES_LOSSES
            chosen.append(known[name])
        task, output, feature = chosen
        return cls(task, output, feature, args.task_w, args.output_w, args.feature_w)

    def of_series(self, insample: Tensor, period: int, mask: Tensor) -> "CALFLoss":
        """Give the M4 losses what they need beside forecast and target; see `mase_loss`."""

        def bound(loss: Loss | SeriesLoss) -> Loss:
            if loss not in SERIES_LOSSES.values():
                return loss
            return lambda forecast, target: loss(insample, period, forecast, target, mask)

        return replace(self, task=bound(self.task), output=bound(self.output))

    @property
    def needs_text_branch(self) -> bool:
        """Whether the textual branch has to run: not when both alignment weights are 0."""
        return self.output_w != 0 or self.feature_w != 0

    @property
    def needs_features(self) -> bool:
        """Whether the hidden states have to be projected."""
        return self.feature_w != 0

    def __call__(
        self,
        output: BranchOutputs,
        target: Tensor,
        scored: Callable[[Tensor], Tensor] = lambda y: y,
        share: Share | None = None,
    ) -> Tensor:
        """Add up the terms whose weight is not 0.

        Args:
            output: one pass of the model, with the branches and features that the weights need.
            target: the truth, in the shape of what `scored` leaves of `output.outputs_time`.
            scored: selects of the outputs what the supervised and the output loss look at.
            share: how much the terms count that look at scored entries, and at all windows, where
                this is a part of a batch; by default they count wholly.
        """
        outputs_time = scored(output.outputs_time)
        if target.numel() == 0:  # nothing to score here, of which there is no mean
            total = outputs_time.sum()
        else:
            total = self.task_w * self.task(outputs_time, target)
        if self.output_w != 0 and target.numel() > 0:
            consistency = self.output(outputs_time, scored(output.outputs_text))
            total = total + self.output_w * consistency
        if share:
            total = share.scored * total
        if self.feature_w != 0:
            features = feature_regularisation(self.feature, output.feature_gaps())
            weight = self.feature_w * (share.windows if share else 1.0)
            total = total + weight * features
        return total
