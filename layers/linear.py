"""Matrix products with the weights, by the faster of the processor's two libraries."""

import platform

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
)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias`, the same as `torch.nn.functional.linear`.

    On an x86 processor in float32, oneDNN multiplies, forward and backward; elsewhere PyTorch does
    as it always does.

    Args:
        x: `[.., in]`. weight: `[out, in]`; may be a transposed view. bias: `[out]`.
    """
    if not _by_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return OneDNNLinear.apply(x, weight, bias)
    return _product(x, weight, bias)


def conv1d(x: Tensor, module: nn.Module) -> Tensor:
    """Apply a projection of GPT-2, whose weight is stored as `[in, out]`, to `x` `[.., in]`."""
    return linear(x, module.weight.t(), module.bias)


class Linear(nn.Linear):
    """`torch.nn.Linear` by the function above."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class OneDNNLinear(torch.autograd.Function):
    """The product by oneDNN, and its gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        of_x, of_weight, _ = ctx.needs_input_grad
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


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        ONEDNN
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
