"""Matrix products with the weights, by the faster of the processor's two libraries."""

import platform
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

# PyTorch's own float32 products come from MKL, which leaves AVX-512 unused on AMD's processors;
# oneDNN, which PyTorch carries too, uses it everywhere: twice the rate there.
ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
)
PACKED_FOR = 2048  # tokens of a typical product, for which oneDNN chooses its layout


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias`, the same as `torch.nn.functional.linear`.

    On an x86 processor in float32, oneDNN multiplies, forward and backward; elsewhere PyTorch does
    as it always does.

    Args:
        x: `[.., in]`. weight: `[out, in]`; may be a transposed view. bias: `[out]`.
    """
    if not by_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return OneDNNLinear.apply(x, weight, bias)
    return _product(x, weight, bias)


class Linear(nn.Linear):
    """`torch.nn.Linear` by the function above."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def conv1d(x: Tensor, module: nn.Module) -> Tensor:
    """Apply a projection of GPT-2, whose weight is stored as `[in, out]`, to `x` `[.., in]`.

    A frozen weight is laid out for oneDNN once, and not at every product.
    """
    if not by_onednn(x, module.weight) or module.weight.requires_grad:
        return linear(x, module.weight.t(), module.bias)
    if torch.is_grad_enabled():
        return FrozenConv1D.apply(x, module)
    return _product(x, packed_weight(module), module.bias)


def frozen_mlp(x: Tensor, c_fc: nn.Module, c_proj: nn.Module) -> Tensor:
    """Compute `c_proj(gelu(c_fc(x)))` with GPT-2's tanh approximation; the weights are frozen."""
    frozen = not (c_fc.weight.requires_grad or c_proj.weight.requires_grad)
    if not by_onednn(x, c_fc.weight) or not frozen:
        return conv1d(F.gelu(conv1d(x, c_fc), approximate="tanh"), c_proj)
    if torch.is_grad_enabled():
        return FrozenMLP.apply(x, c_fc, c_proj)
    inner = _product(x, packed_weight(c_fc), c_fc.bias, "gelu", "tanh")
    return _product(inner, packed_weight(c_proj), c_proj.bias)


class OneDNNLinear(torch.autograd.Function):
    """The product by oneDNN, and its gradients."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        of_x, of_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if of_weight else None, weight if of_x else None)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _product(gradient, weight.t())
        rows = gradient.flatten(0, -2)
        if ctx.needs_input_grad[1]:
            columns, rows_x = rows.t(), x.flatten(0, -2).t()
            # the first factor is copied: let it be the smaller one
            if len(columns) <= len(rows_x):
                of_weight = _product(columns, rows_x)
            else:
                of_weight = _product(rows_x, columns).t()
        if ctx.needs_input_grad[2]:
            of_bias = rows.sum(dim=0)
        return of_x, of_weight, of_bias


class FrozenConv1D(torch.autograd.Function):
    """A frozen projection of GPT-2, forward and backward by weights that are laid out already."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module = module
        return _product(x, packed_weight(module), module.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return _product(gradient, packed_weight(ctx.module, backward=True)), None


class FrozenMLP(torch.autograd.Function):
    """GPT-2's feed-forward part, whose widest gradient is computed in place."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, c_fc: nn.Module, c_proj: nn.Module) -> Tensor:
        inner = _product(x, packed_weight(c_fc), c_fc.bias)
        ctx.save_for_backward(inner)
        ctx.c_fc, ctx.c_proj = c_fc, c_proj
        activated = F.gelu(inner, approximate="tanh")
        return _product(activated, packed_weight(c_proj), c_proj.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inner,) = ctx.saved_tensors
        of_inner = _product(gradient, packed_weight(ctx.c_proj, backward=True))
        torch.ops.aten.gelu_backward.grad_input(
            of_inner, inner, approximate="tanh", grad_input=of_inner
        )
        return _product(of_inner, packed_weight(ctx.c_fc, backward=True)), None, None


class Derived:
    """What is computed from parameters, kept as long as they stay the same."""

    def __init__(self, make: Callable):
        self.make = make
        self.clear()

    def clear(self) -> None:
        """Give the memory back."""
        self._state = self._made = None

    def of(self, *sources: Tensor, **options: object) -> object:
        """Compute it from `sources`, or return what was computed last."""
        state = [options, *((source.data_ptr(), source._version) for source in sources)]
        if state != self._state:
            with torch.inference_mode(False), torch.no_grad():
                self._made = self.make(*sources, **options)
            self._state = state
        return self._made

    def __deepcopy__(self, memo: dict) -> "Derived":
        return Derived(self.make)

    def __reduce__(self) -> tuple:
        return Derived, (self.make,)


def packed_weight(module: nn.Module, backward: bool = False) -> Tensor:
    """The weight `[in, out]` of a projection of GPT-2 in oneDNN's layout, for the products of the
    forward or of the backward pass."""
    name = "packed_backward" if backward else "packed"
    if not hasattr(module, name):
        setattr(module, name, Derived(pack))
    return getattr(module, name).of(module.weight, transposed=not backward)


def pack(weight: Tensor, transposed: bool) -> Tensor:
    """Bring a weight or its transpose into oneDNN's layout."""
    weight = weight.detach()
    weight = weight.t() if transposed else weight
    return torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)


def by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN multiplies these."""
    return (
        ONEDNN
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _product(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str = "none",
    variant: str = "",
) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], variant)
