"""Matrix products with the weights by oneDNN."""

import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

# PyTorch multiplies float32 by MKL, which leaves AVX-512 unused on AMD's processors; oneDNN uses it
# everywhere: twice the rate there. With AVX2 alone MKL is about a tenth faster, but with it results
# of several processes left those of one by more than 1e-5.
ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
)
PACKED_FOR = 2048  # tokens of a typical product, for which oneDNN chooses its layout


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


def frozen_product(x: Tensor, module: nn.Module) -> Tensor:
    """Apply a frozen projection to `x` `[.., in]`.

    For oneDNN the weight is laid out once, and not at every product.
    """
    if torch.is_grad_enabled():
        return FrozenProduct.apply(x, module)
    return product(x, module.packed.get(module.weight), module.bias)


class FrozenProduct(torch.autograd.Function):
    """A frozen projection, by laid-out weights forward and backward."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module, ctx.weight = module, module.weight
        ctx.save_for_backward(module.weight)  # autograd refuses a weight changed until backward
        return product(x, module.packed.get(module.weight), module.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        _ = ctx.saved_tensors
        return product(grad, ctx.module.packed_backward.get(ctx.weight)), None


def frozen_mlp(x: Tensor, c_fc: nn.Module, c_proj: nn.Module) -> Tensor:
    """Compute `c_proj(gelu(c_fc(x)))` with GPT-2's tanh approximation and frozen projections."""
    if torch.is_grad_enabled():
        return FrozenMLP.apply(x, c_fc, c_proj)
    inner = product(x, c_fc.packed.get(c_fc.weight), c_fc.bias, "gelu", "tanh")
    return product(inner, c_proj.packed.get(c_proj.weight), c_proj.bias)


class FrozenMLP(torch.autograd.Function):
    """GPT-2's feed-forward part, whose widest gradient is computed in place."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, c_fc: nn.Module, c_proj: nn.Module) -> Tensor:
        inner = product(x, c_fc.packed.get(c_fc.weight), c_fc.bias)
        ctx.modules, ctx.weights = (c_fc, c_proj), (c_fc.weight, c_proj.weight)
        ctx.save_for_backward(inner, *ctx.weights)  # see FrozenProduct
        activated = F.gelu(inner, approximate="tanh")
        return product(activated, c_proj.packed.get(c_proj.weight), c_proj.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:
        inner = ctx.saved_tensors[0]
        packed_fc, packed_proj = (
            module.packed_backward.get(weight)
            for module, weight in zip(ctx.modules, ctx.weights, strict=True)
        )
        grad_inner = product(grad, packed_proj)
        torch.ops.aten.gelu_backward.grad_input(
            grad_inner, inner, approximate="tanh", grad_input=grad_inner
        )
        return product(grad_inner, packed_fc), None, None


def pack(weight: Tensor) -> Tensor:
    """Bring a weight `[out, in]` into oneDNN's layout, if that multiplies."""
    if not ONEDNN:
        return weight
    return torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)


def pack_transposed(weight: Tensor) -> Tensor:
    """Bring a weight `[in, out]` into the layout of `pack`."""
    return pack(weight.t())


def pack_folded(weight: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """Lay out a weight `[out, in]` with its low-rank update, `weight + scaling b a`."""
    return pack(torch.addmm(weight, b, a, alpha=scaling))


def pack_folded_transposed(weight: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """Lay out a weight `[in, out]` with its low-rank update, `weight + scaling (b a)^T`."""
    return pack_transposed(torch.addmm(weight, a.t(), b.t(), alpha=scaling))


def product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none", kind: str = ""
) -> Tensor:
    """Compute `activation(x weight^T + bias)`; the weight may come from `pack`. Has no gradient."""
    if ONEDNN:
        y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], kind)
        # not a view, which autograd would not let anyone change in place
        return torch.ops.aten._unsafe_view(y, y.shape)
    y = F.linear(x, weight, bias)
    return F.gelu(y, approximate=kind) if activation == "gelu" else y
