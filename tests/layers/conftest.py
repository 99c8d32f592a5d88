"""Every test that takes `prepare` runs twice: on plain modules and on the fast ones."""

from collections.abc import Callable

import pytest
from torch import nn

from layers.fast_cpu import install


def keep_plain(model: nn.Module) -> nn.Module:
    return model


def make_fast(model: nn.Module) -> nn.Module:
    assert install(model) > 0
    return model


@pytest.fixture(params=[keep_plain, make_fast], ids=["plain", "fast"])
def prepare(request) -> Callable[[nn.Module], nn.Module]:
    """Installs the fast classes, or nothing; returns the model."""
    return request.param
