"""Matrix products with the weights by oneDNN, where that is faster than PyTorch's choice."""

import platform
import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# PyTorch multiplies float32 by MKL, which leaves AVX-512 unused on AMD's processors: oneDNN has
# twice its rate there. With AVX2 alone MKL has twice the rate of oneDNN.
ONEDNN_IS_THERE = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
MARGIN = 1.2  # what MKL, or bf16, has to be faster by: noise shall not decide between equals
ROWS, WIDTH, REPETITIONS = 256, 768, 5  # of the measurement, about 40 ms
_uses_onednn = ONEDNN_IS_THERE


def least_seconds(*products: Callable[[Tensor, Tensor], Tensor]) -> list[float]:
    """Time matrix products in turn on one thread: of several, those that wait for another count,
    which on a busy machine would decide."""
    x, weight = torch.ones(ROWS, WIDTH), torch.ones(WIDTH, WIDTH)
    seconds, threads = {product: [] for product in products}, torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        for _ in range(REPETITIONS):
            for multiply, measured in seconds.items():
                start = time.thread_time()  # other processes do not count
                multiply(x, weight)
                measured.append(time.thread_time() - start)
    torch.set_num_threads(threads)
    return [min(measured) for measured in seconds.values()]


@cache
def onednn_is_faster() -> bool:
    """Measure, once in a process, whether oneDNN has the faster products."""
    if not ONEDNN_IS_THERE:
        return False
    onednn, default = least_seconds(product, F.linear)
    return onednn < MARGIN * default


@cache
def bf16_is_faster() -> bool:
    """Measure, once in a process, whether products under bfloat16's autocast are faster than in
    float32: some processors have the instructions at a lower rate."""
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False

    def in_bf16(x: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.linear(x, weight)

    bf16, *float32 = least_seconds(in_bf16, F.linear, *([product] if ONEDNN_IS_THERE else []))
    return MARGIN * bf16 < min(float32)


def use_onednn(use: bool) -> None:
    """Let oneDNN multiply from now on, if PyTorch has it, or else PyTorch's default library."""
    global _uses_onednn
    _uses_onednn = use and ONEDNN_IS_THERE


def on_cpu(x: Tensor) -> bool:
    """Return whether `x` is a strided tensor on the CPU, outside of `torch.compile`."""
    return (
        x.device.type == "cpu"
        and x.layout == torch.strided
        and not x.is_nested
        and not torch.compiler.is_compiling()
    )


def is_float32_on_cpu(x: Tensor, weight: Tensor) -> bool:
    """Return whether the products of `x` with a weight are float32 on the CPU."""
    return (
        on_cpu(x)
        and weight.device == x.device
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias`, the same as `torch.nn.functional.linear`.

    In float32 on the CPU oneDNN multiplies, forward and backward, unless `use_onednn(False)`.

    Args:
        x: `[.., in]`. weight: `[out, in]`; may be a transposed view. bias: `[out]`.
    """
    if not _uses_onednn or not is_float32_on_cpu(x, weight):
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
