"""Frozen weights, and what is computed from them once."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn


class WatchedParameter(nn.Parameter):
    """A frozen parameter that notes when its memory may change unseen.

    Autograd counts in-place writes in `_version`, but not those through `weight.data` or
    `weight.numpy()`. Taking either sets `aliased` for good. Overridden attributes, unlike
    `__torch_function__`, cost an operation on the parameter nothing.

    Attributes:
        aliased: whether memory of this parameter is known under another name.
    """

    aliased = False

    @property
    def data(self) -> Tensor:
        self.aliased = True
        return nn.Parameter.data.__get__(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if value is not self:  # `module.to(...)` assigns a parameter to itself if nothing changes
            self.aliased = True
        nn.Parameter.data.__set__(self, value)

    def numpy(self, *, force: bool = False):
        self.aliased = True
        return super().numpy(force=force)

    def __deepcopy__(self, memo: dict) -> "WatchedParameter":
        if id(self) not in memo:
            memo[id(self)] = WatchedParameter(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: int) -> tuple:  # a plain parameter is what is read back
        return torch._utils._rebuild_parameter, (self.detach(), self.requires_grad, OrderedDict())


def watch(weight: Tensor) -> None:
    """Make a frozen `nn.Parameter` a watched one, in place."""
    if type(weight) is nn.Parameter and not weight.requires_grad:
        weight.__class__ = WatchedParameter


def unwatch(weight: Tensor) -> None:
    """Undo `watch`."""
    if type(weight) is WatchedParameter:
        weight.__class__ = nn.Parameter


def is_watched(weight: Tensor) -> bool:
    """Tell whether every change of a weight is seen."""
    return type(weight) is WatchedParameter and not weight.aliased and not weight.is_inference()


class Cached:
    """A function of a frozen weight, computed again only after a change.

    The weight's version tells of changes; a weight that is not watched is not cached. Of small
    tensors copies are kept and compared.

    Args:
        make: what is computed, `make(weight, *small, **options)`.
    """

    def __init__(self, make: Callable[..., Tensor]):
        self.make = make
        self.clear()

    def clear(self) -> None:
        """Free the memory."""
        self._weight = self._state = self._value = None
        self._small: tuple[Tensor, ...] = ()

    def get(self, weight: Tensor, *small: Tensor, **options: float) -> Tensor:
        """Compute the value, or return the last one."""
        state = (weight.data_ptr(), weight._version, options) if is_watched(weight) else None
        same = state is not None and weight is self._weight and state == self._state
        if same and all(map(torch.equal, small, self._small)):
            return self._value
        with torch.inference_mode(False), torch.no_grad():
            value = self.make(weight.detach(), *small, **options)
            if state is None:
                self.clear()
            else:
                self._weight, self._state, self._value = weight, state, value
                self._small = tuple(tensor.detach().clone() for tensor in small)
        return value

    def __deepcopy__(self, memo: dict) -> "Cached":
        return Cached(self.make)

    def __reduce__(self) -> tuple:
        return Cached, (self.make,)
