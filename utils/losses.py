"""The losses of CALF: what a name on the command line means, and how they are added up."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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
