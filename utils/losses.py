"""The losses of CALF: what a name on the command line means, and how they are added up."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.CALF import CALFOutput
from utils.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]

POINT_LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "mse": F.mse_loss,
    "ce": F.cross_entropy,
}

FEATURE_DECAY = 0.8


def feature_regularisation(
    loss: Loss, features_time: Sequence[Tensor], features_text: Sequence[Tensor]
) -> Tensor:
    """Align the branches layer by layer: sum over i of 0.8^(N-i) loss(time_i, text_i).

    Args:
        loss: what compares two features.
        features_time, features_text: N + 1 features each, `[batch, channels, d_model]`, the
            deepest last.

    Source: paper section "Feature Regularization Loss" (method section 4).
    """
    deepest = len(features_time) - 1
    terms = [
        FEATURE_DECAY ** (deepest - i) * loss(time, text)
        for i, (time, text) in enumerate(zip(features_time, features_text, strict=True))
    ]
    return torch.stack(terms).sum()


@dataclass(frozen=True)
class CALFLoss:
    """The total loss: supervised + output consistency + feature regularisation (method section 4).

    Attributes:
        task, output, feature: how predictions, branch outputs and features are compared.
        task_w, output_w, feature_w: the weights of the three terms.
    """

    task: Loss
    output: Loss
    feature: Loss
    task_w: float = 1.0
    output_w: float = 1.0
    feature_w: float = 0.01

    @classmethod
    def of(cls, args: Namespace) -> "CALFLoss":
        """Choose by the names and weights of the command line.

        Raises:
            UserError: a loss is not known.
        """
        chosen = []
        for option in ("task_loss", "output_loss", "feature_loss"):
            name = getattr(args, option)
            if name not in POINT_LOSSES:
                known = ", ".join(POINT_LOSSES)
                raise UserError(f"--{option} {name} is not a loss: use one of {known}")
            chosen.append(POINT_LOSSES[name])
        return cls(*chosen, args.task_w, args.output_w, args.feature_w)

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
        output: CALFOutput,
        target: Tensor,
        scored: Callable[[Tensor], Tensor] = lambda y: y,
    ) -> Tensor:
        """Add up the terms whose weight is not 0.

        Args:
            output: one pass of the model, with the branches and features that the weights need.
            target: the truth, in the shape of what `scored` leaves of `output.outputs_time`.
            scored: selects what the supervised term looks at.
        """
        total = self.task_w * self.task(scored(output.outputs_time), target)
        if self.output_w != 0:
            total = total + self.output_w * self.output(output.outputs_time, output.outputs_text)
        if self.feature_w != 0:
            total = total + self.feature_w * feature_regularisation(
                self.feature, output.features_time, output.features_text
            )
        return total
