"""The device of a run, its precision, compilation, fast modules and learning-rate schedule."""

import os
import platform
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from exp.published import SOUND, LoopRules
from models.interface import Objective
from utils.errors import UserError
from utils.machine import keep_memory, processor_name

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
COSINE_FLOOR = 1e-8


def prepare_torch(args: Namespace) -> None:
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


def choose_device(args: Namespace) -> torch.device:
    """Take the GPU that `--gpu` names where there is one, else the CPU.

    Raises:
        UserError: a GPU was requested explicitly and is not visible.
    """
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


def check_precision(amp: str, device: torch.device) -> None:
    """Check that the device supports a precision.

    Raises:
        UserError: fp16 on a CPU, or bf16 on a GPU without it.
    """
    if amp == "fp16" and device.type == "cpu":
        raise UserError("--amp fp16 is for GPUs: use --amp bf16, or leave it out, on the CPU")
    if amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError("--amp bf16: this GPU has no bfloat16: use --amp fp16")


def autocast(amp: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Make contexts of mixed precision, as `--amp` says; "no" changes nothing."""
    return nullcontext if amp == "no" else partial(torch.autocast, device.type, PRECISIONS[amp])


def speed_up(objective: Objective, args: Namespace, device: torch.device) -> int:
    """Compile the model, or install the fast CPU modules, as `--compile` and `--fast_cpu` say.

    Returns:
        How many modules were replaced by fast ones.
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

    return fast_cpu.install(objective.model)


def device_name(device: torch.device) -> str:
    """Name the GPU or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Return the most memory so far, in MB (10^6 bytes).

    Returns:
        `host`: resident memory of this process; None where the system does not tell.
        `device`: of the GPU's allocator; None on the CPU.
    """
    on_gpu = device.type == "cuda"
    return {
        "host": _peak_host_memory(),
        "device": torch.cuda.max_memory_allocated(device) / 1e6 if on_gpu else None,
    }


def _peak_host_memory() -> float | None:
    try:  # Linux; the other way counts that of the process which started this one, too
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def learning_rate_schedule(
    optimiser: Optimizer, args: Namespace, rules: LoopRules = SOUND
) -> LRScheduler:
    """Make the learning-rate schedule of the main optimiser, stepped once per epoch.

    With `--cos 1` cosine annealing (periodic beyond `--tmax`); else what `--lradj` names: after
    epoch e (1-based) type1 and type3 set lr0 while e < 3, then lr0 * 0.9^(e-3), where type3 takes
    lr0 = 1e-4 whatever the learning rate; type2 sets lr0 * decay_fac^(e-1).
    """
    if args.cos and rules.cosine:
        return CosineAnnealingLR(optimiser, T_max=args.tmax, eta_min=COSINE_FLOOR)
    start = 1e-4 / args.learning_rate if args.lradj == "type3" else 1.0

    def factor(epochs: int) -> float:
        epochs -= epochs % rules.adjusted_every
        if epochs == 0:
            return 1.0
        if args.lradj == "type2":
            return args.decay_fac ** (epochs - 1)
        return start * (1.0 if epochs < 3 else 0.9 ** (epochs - 3))

    return LambdaLR(optimiser, factor)
