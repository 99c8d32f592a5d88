"""How tests stay clear of rounding, which differs between processors, libraries and threads.

Adam divides a gradient by its size. Of a gradient that is 0 but for rounding, float32 leaves more
than Adam's epsilon, and Adam makes whole steps of it; float64 leaves nothing that counts.
"""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from models.objectives import CALFObjective
from models.supervised import SupervisedObjective
from utils.batch import Batch


def doubled(batch: Batch) -> Batch:
    tensors = {
        field.name: value.double()
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor) and value.is_floating_point()
    }
    return replace(batch, **tensors)


def use_float64(patch: pytest.MonkeyPatch) -> None:
    """Let all models compute in float64 from now on, on the same data and initial values."""

    def build(plain: Callable) -> Callable:
        def built(self, *given):
            plain(self, *given)
            self.model.double()

        return built

    def compute(plain: Callable) -> Callable:
        return lambda self, batch, *more: plain(self, doubled(batch), *more)

    for owner in (CALFObjective, SupervisedObjective):
        patch.setattr(owner, "__init__", build(owner.__init__))
        for name in ("losses", "predict", "diagnostics"):
            patch.setattr(owner, name, compute(getattr(owner, name)))
    to_float32 = Tensor.float  # of sums over processes, and of predictions
    patch.setattr(Tensor, "float", lambda t: t if t.dtype == torch.float64 else to_float32(t))
