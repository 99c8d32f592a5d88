"""Matrix products with the weights by oneDNN."""

import platform

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# PyTorch multiplies float32 by MKL, which leaves AVX-512 unused on AMD's processors; oneDNN uses it
# everywhere: twice the rate there. With AVX2 alone MKL is about a tenth faster, but with it results
# of several processes left those of one by more than 1e-5.
ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def on_cpu(x: Tensor) -> bool:
    """Tell whether `x` is an ordinary tensor on the CPU, outside of `torch.compile`."""
    return (
        x.device.type == "cpu"
        and x.layout == torch.strided
        and not x.is_nested
        and not torch.compiler.is_compiling()
    )


def is_float32_on_cpu(x: Tensor, *weights: Tensor) -> bool:
    """Tell whether the products of `x` with these weights are float32 on the CPU."""
    return (
        on_cpu(x)
        and x.dtype == torch.float32
        and all(w.device == x.device and w.dtype == x.dtype for w in weights)
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias`, the same as `torch.nn.functional.linear`.

    On an x86 processor in float32 oneDNN multiplies, forward and backward; elsewhere PyTorch does
    as it always does.

    Args:
        x: `[.., in]`. weight: `[out, in]`; may be a transposed view. bias: `[out]`.
    """
    if not ONEDNN or not is_float32_on_cpu(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return OneDNNLinear.apply(x, weight, bias)
    return product(x, weight, bias)


class OneDNNLinear(torch.autograd.Function):
    """The product by oneDNN, and its gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = product(grad, weight.t())
        rows = grad.flatten(0, -2)
        if ctx.needs_input_grad[1]:
            columns, rows_x = rows.t(), x.flatten(0, -2).t()
            # oneDNN copies the first factor: let it be the smaller one
            if len(columns) <= len(rows_x):
                grad_weight = product(columns, rows_x)
            else:
                grad_weight = product(rows_x, columns).t()
        if ctx.needs_input_grad[2]:
            grad_bias = rows.sum(dim=0)
        return grad_x, grad_weight, grad_bias


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias` by oneDNN. Has no gradient."""
    y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    # not a view, which autograd would not let anyone change in place
    return torch.ops.aten._unsafe_view(y, y.shape)
