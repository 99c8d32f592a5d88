"""Several processes of a run: torch's elastic launch for `--use_multi_gpu`, and which process
reports an error."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from utils.errors import ProcessGone, UserError
from utils.interrupts import SIGNALS, Interrupted, exit_at_once, handle

FOLLOW_PARENT = "CALF_FOLLOW_PARENT"  # set for the runs of scripts.reproduce
SAVING = 20.0  # seconds that an interrupted process waits for rank 0 to write the state
PARTING = 5.0  # seconds that a failed process waits for the others


def world() -> tuple[int, int]:
    """Rank of this process and world size."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")) if count > 1 else 0), count


def device_numbers(devices: str) -> list[int]:
    """Parse the value of `--devices`; raises a `UserError` unless it is distinct numbers."""
    items = devices.replace(" ", "").split(",")
    if not all(re.fullmatch("[0-9]{1,4}", item) for item in items):
        raise UserError(f"--devices {devices}: numbers separated by commas, such as 0,1")
    numbers = [int(item) for item in items]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--devices {devices}: duplicate device")
    return numbers


def check_devices(numbers: Sequence[int]) -> None:
    """Check that these GPUs are visible; raises a `UserError`."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = ",".join(map(str, numbers))
    if not count:
        raise UserError(
            f"--use_multi_gpu --devices {named} asks for CUDA, and there is no visible GPU: "
            "leave it out, or pass --use_gpu 0 to try several processes on the CPU"
        )
    if max(numbers) >= count:
        raise UserError(f"--devices {named}: visible GPUs: {count}, numbered from 0")


def visible_devices(numbers: Sequence[int]) -> str:
    """Return the value of `CUDA_VISIBLE_DEVICES` for these of the visible GPUs."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = dict(enumerate(seen)) if seen != [""] else {}
    return ",".join(named.get(number, str(number)) for number in numbers)


def launch(command: Sequence[str], count: int, gpus: str | None = None) -> int:
    """Run a program in `count` processes by torch's elastic launch; `gpus` is their
    `CUDA_VISIBLE_DEVICES`.

    Returns:
        The exit code: that of the first process that failed, which reports its error itself; 1
        if a signal killed it; 128 + signal after a signal to this process, which is forwarded.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # no stack traces of the store; the processes report a lost one in one line
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    config = LaunchConfig(
        1, 1, count, run_id=str(os.getpid()), max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1",
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )  # fmt: skip
    program, *arguments = command
    try:
        # elastic fills in $names
        elastic_launch(config, program)(*(word.replace("$", "$$") for word in arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            print(f"error: the process of rank {rank} was killed by {name}", file=sys.stderr)
        return max(failure.exitcode, 1)
    except SignalException as error:
        return 128 + error.sigval
    return 0


def follow_parent() -> None:
    """Under a launcher or `scripts.reproduce`: stop, as by SIGTERM, when it has died."""
    if not {"TORCHELASTIC_RUN_ID", FOLLOW_PARENT} & os.environ.keys():
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def leave() -> None:
    """Close the process group: its threads can abort an interpreter that ends before them."""
    if world()[1] > 1:
        from torch.distributed import distributed_c10d as c10d

        if c10d.is_initialized():
            c10d.destroy_process_group()


def reports(error: BaseException) -> bool:
    """Leave the other processes, and return whether this one prints `error`.

    The first process with an error prints it; rank 0 prints an interruption. `ProcessGone` is
    printed only if the process that ended reported nothing itself.

    A launcher terminates all processes as soon as one has ended. Therefore each waits here until
    all have come, and the one that prints ignores signals.
    """
    from torch.distributed import distributed_c10d as c10d

    if not c10d.is_initialized():  # before that all processes have the same errors
        rank, _ = world()
        if rank:
            time.sleep(PARTING)
        return rank == 0
    gone, interrupted = isinstance(error, ProcessGone), isinstance(error, Interrupted)
    store, rank, count = c10d._get_default_store(), c10d.get_rank(), c10d.get_world_size()
    on_gpu = c10d.get_backend() == "nccl"  # leaving would wait for collectives that may never end
    prints = gone or rank == 0  # the default, for when the store is gone too
    with contextlib.suppress(RuntimeError):
        if gone:
            prints = store.add("reported", 1) == 1
        else:
            store.add("reported", 1)
            first = store.add(f"reported {error!r}", 1) == 1
            prints = rank == 0 if interrupted else first
    for number in SIGNALS:
        handle(number, signal.SIG_IGN if prints else exit_at_once)
    patience = 1.0 if gone else SAVING if interrupted else PARTING
    with contextlib.suppress(RuntimeError):
        if not on_gpu:
            c10d.destroy_process_group()  # the others notice at once
        store.add("came", 1)
        _wait(lambda: store.add("came", 0) == count, patience)
        store.add("left", 1)
        if rank == 0:  # the store may live in this process
            _wait(lambda: store.add("left", 0) == store.add("came", 0), patience)
    return prints


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
