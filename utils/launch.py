"""Several processes of one run on this machine: `--use_multi_gpu`, by torch's elastic launch."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from utils.errors import UserError
from utils.interrupts import SIGNALS, handle

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STOPPING = 20  # seconds; elastic sends SIGKILL 30 s after SIGTERM


def under_launcher() -> bool:
    """Return whether torchrun, `accelerate launch` or `launch` started this process."""
    return "WORLD_SIZE" in os.environ


def world() -> tuple[int, int]:
    """Rank of this process and world size."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")) if count > 1 else 0), count


def device_numbers(devices: str) -> list[int]:
    """Parse the value of `--devices`.

    Raises:
        UserError: it is not a list of distinct numbers.
    """
    items = devices.replace(" ", "").split(",")
    if not all(item.isascii() and item.isdigit() and len(item) < 5 for item in items):
        raise UserError(f"--devices {devices}: numbers separated by commas, such as 0,1")
    numbers = [int(item) for item in items]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--devices {devices}: duplicate device")
    return numbers


def check_devices(numbers: Sequence[int]) -> None:
    """Check that these GPUs are visible.

    Raises:
        UserError: some are not.
    """
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
    return ",".join(seen[number] if number < len(seen) and seen != [""] else str(number)
                    for number in numbers)  # fmt: skip


def launch(command: Sequence[str], count: int, gpus: str | None = None) -> int:
    """Run a program in `count` processes by torch's elastic launch, and return the exit code.

    SIGINT and SIGTERM are forwarded. As soon as one process fails, the others get SIGTERM, and
    SIGKILL after 30 s. A line names a process that was killed or crashed; the processes report
    other errors themselves.

    Args:
        command: the program and its arguments.
        gpus: `CUDA_VISIBLE_DEVICES`.
    """
    with _undone():
        from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=str(os.getpid()),
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            signals_to_handle=",".join(number.name for number in SIGNALS),
            logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
        )
        # no stack traces of the store; the processes report a lost one in one line
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        if gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus
        program, *arguments = command
        try:
            # elastic fills in $names
            elastic_launch(config, program)(*(word.replace("$", "$$") for word in arguments))
        except ChildFailedError as error:
            return outcome(error.failures, count)
        except SignalException as error:
            return SIGNALS[error.sigval]
    return 0


@contextlib.contextmanager
def _undone() -> Iterator[None]:
    """Silence loggers, and restore variables and signal handlers that elastic changes."""
    variables = os.environ.copy()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        for number, handler in handlers.items():
            handle(number, handler)
        os.environ.clear()
        os.environ.update(variables)


def outcome(failures: Mapping[int, "ProcessFailure"], count: int) -> int:
    """Choose the exit code of a failed launch; report a process that could not do so itself.

    Args:
        failures: by rank: exit code, or minus the signal that ended the process; and when.
        count: of processes.
    """
    first = min(failure.timestamp for failure in failures.values())
    # later ones ignored SIGTERM and were killed
    codes = {r: f.exitcode for r, f in failures.items() if f.timestamp <= first + STOPPING}
    rank = min(codes, key=lambda r: (_rank_of_code(codes[r]), r))
    code = codes[rank]
    if code < 0:
        _say(f"process {rank} of {count} was ended by {signal.Signals(-code).name}")
        return 128 - code
    if code not in (2, *SIGNALS.values()):
        _say(f"process {rank} of {count} ended with code {code}")
    return code


def _rank_of_code(code: int) -> int:
    """Order exit codes from cause to consequence."""
    if code in (SIGNALS[signal.SIGTERM], -signal.SIGTERM):
        return 4  # terminated by the launcher after another one failed
    if code == 2:
        return 3  # its own error, or the loss of another process
    if code == SIGNALS[signal.SIGINT]:
        return 2
    return 0 if code < 0 else 1


def _say(message: str) -> None:
    print(f"error: {message}; the others were stopped", file=sys.stderr)


def follow_parent() -> None:
    """Under a launcher: stop, as by SIGTERM, when the launcher has died."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard the output of both streams."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
