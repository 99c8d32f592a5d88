"""The device of a run, its precision, compilation and fast modules."""

import os
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from exp.processes import Processes
from models.interface import Objective
from utils.configuration import Configuration
from utils.errors import UserError
from utils.machine import keep_memory

ONEDNN, PYTORCH = "oneDNN", "PyTorch's own"  # libraries of float32 products on the CPU
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def prepare_torch(args: Configuration) -> None:
    """Set torch's global state: threads, TensorFloat-32, determinism."""
    keep_memory()
    if args.threads and args.threads != torch.get_num_threads():
        # torch is imported already: MKL's small products stay slower from now on
        torch.set_num_threads(args.threads)
    if args.tf32:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def choose_device(args: Configuration) -> torch.device:
    """Take the GPU that `--gpu` names where there is one, else the CPU; a GPU that was requested
    explicitly and is not visible is an error."""
    if not args.use_gpu:
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if args.gpu < count:
        return torch.device("cuda", args.gpu)
    if count or args.gpu:
        raise UserError(f"--gpu {args.gpu}: visible GPUs, numbered from 0: {count}")
    if "use_gpu" in args.given:
        raise UserError(
            "--use_gpu asks for CUDA, and no GPU is visible: leave it out, or pass --use_gpu 0, "
            "to run on the CPU"
        )
    return torch.device("cpu")


def choose_precision(amp: str, device: torch.device, processes: Processes) -> str:
    """Return the precision of matrix products: for "auto" bf16 where it is faster than float32, as
    rank 0 finds, else "no". A precision that the device lacks is an error."""
    if amp == "fp16" and device.type == "cpu":
        raise UserError("--amp fp16 is for GPUs: use --amp bf16, or leave it out, on the CPU")
    if amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError("--amp bf16: this GPU has no bfloat16: use --amp fp16")
    if amp == "auto":
        (is_faster,) = processes.broadcast(float(bf16_is_faster(device)))
        return "bf16" if is_faster else "no"
    if amp == "bf16" and not bf16_is_faster(device):
        print("--amp bf16: without it, in float32, this is as fast or faster here")
    return amp


def bf16_is_faster(device: torch.device) -> bool:
    """Tell whether matrix products are faster in bfloat16 than in float32: on a GPU that has the
    instructions, on the CPU where a measurement finds it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    from layers import fast_cpu

    return fast_cpu.bf16_is_faster()


def autocast(amp: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Make contexts of mixed precision, as `--amp` says; "no" changes nothing."""
    return nullcontext if amp == "no" else partial(torch.autocast, device.type, PRECISIONS[amp])


def speed_up(
    objective: Objective, args: Configuration, device: torch.device, processes: Processes
) -> int:
    """Compile the model, or install the fast CPU modules, as `--compile` and `--fast_cpu` say;
    return how many were installed. Rank 0 chooses the library of float32 products by a measurement.
    """
    if args.compile and device.type == "cpu":
        print("--compile: skipped on the CPU, where the fast modules are faster")
    elif args.compile and (platform.system() == "Windows" or sys.version_info >= (3, 15)):
        print("--compile: skipped, PyTorch can't compile on this platform")
    elif args.compile:
        objective.compile()
    if args.fast_cpu == "off" or device.type != "cpu":
        return 0
    from layers import fast_cpu

    (onednn,) = processes.broadcast(float(fast_cpu.onednn_is_faster()))
    use_products(objective, ONEDNN if onednn else PYTORCH)
    return fast_cpu.install(objective.model)


def use_products(objective: Objective, library: str) -> None:
    """Let a library multiply float32 on the CPU, and note which; a resumed training goes on with
    that of its beginning, so that it ends bit for bit as it would have."""
    from layers import fast_cpu

    fast_cpu.use_onednn(library == ONEDNN)
    objective.notes["products"] = library
