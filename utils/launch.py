"""Several processes of one program on this machine, started, watched and ended together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from utils.errors import UserError
from utils.interrupts import SIGNALS
from utils.machine import usable_cores

PARENT = "CALF_LAUNCHER"  # number of the process that started this one
GRACE = 20.0  # seconds that the others have to end by themselves once one has failed
LAST_GRACE = 10.0  # and once they were told to
INTERVAL = 0.1


def under_launcher() -> bool:
    """Whether torchrun, `accelerate launch` or this module started this process."""
    return "WORLD_SIZE" in os.environ


def world() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are, on all machines together."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")) if count > 1 else 0), count


def device_numbers(devices: str) -> list[int]:
    """Parse the value of `--devices`.

    Raises:
        UserError: it is no list of different numbers.
    """
    words = devices.replace(" ", "").split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        raise UserError(f"--devices {devices}: numbers with commas between them, such as 0,1")
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--devices {devices}: a device stands there twice")
    return numbers


def check_devices(numbers: Sequence[int]) -> None:
    """Look whether these GPUs are there.

    Raises:
        UserError: some are not.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = ",".join(map(str, numbers))
    if not count:
        raise UserError(
            f"--use_multi_gpu --devices {named} asks for CUDA, and no GPU is to be seen here: "
            "leave it out, or pass --use_gpu 0, to try several processes on the CPU"
        )
    if max(numbers) >= count:
        raise UserError(f"--devices {named}: GPUs to be seen here, numbered from 0: {count}")


def visible_devices(numbers: Sequence[int]) -> str:
    """What `CUDA_VISIBLE_DEVICES` must be for these GPUs of those to be seen now."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return ",".join(seen[number] if number < len(seen) and seen != [""] else str(number)
                    for number in numbers)  # fmt: skip


def launch(command: Sequence[str], count: int, threads: int = 0, gpus: str | None = None) -> int:
    """Run a program in `count` processes, and return the exit code that tells how it went.

    Each is told its place by the variables that torchrun sets. Signals are handed on. Where one
    fails, the others are ended, and a line says which one it was unless it has said so itself.

    Args:
        command: the program and its arguments.
        threads: of each process; 0 shares out the cores, unless `OMP_NUM_THREADS` says how many.
        gpus: `CUDA_VISIBLE_DEVICES`.
    """
    shared = {
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        PARENT: str(os.getpid()),
    }
    if threads or "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(threads or max(1, usable_cores() // count))
    if gpus is not None:
        shared["CUDA_VISIBLE_DEVICES"] = gpus
    processes: list[subprocess.Popen] = []
    with handing_on(processes) as received:
        for rank in range(count):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # a session of its own: a terminal's ^C reaches it through this process alone
            processes.append(subprocess.Popen(command, env=shared | place, start_new_session=True))
        for number in received:  # what came before all were there
            send(processes, number)
        codes = watch(processes)
    return outcome(codes, bool(received))


@contextlib.contextmanager
def handing_on(processes: list[subprocess.Popen]) -> Iterator[list[int]]:
    """Hand SIGINT and SIGTERM on to the processes that are there; yields those that came."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        send(processes, number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def send(processes: Sequence[subprocess.Popen], number: int) -> None:
    """Send a signal to those that are running."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def watch(processes: Sequence[subprocess.Popen]) -> list[int | None]:
    """Wait until all have ended; where one fails, end the others.

    Returns:
        The code of each, None of those that had to be killed for not ending.
    """
    failed, told = None, False
    while any(process.poll() is None for process in processes):
        time.sleep(INTERVAL)
        now = time.monotonic()
        if failed is None and any(process.poll() for process in processes):
            failed = now
        if failed is not None and not told and now > failed + GRACE:
            told = True
            send(processes, signal.SIGTERM)
        if failed is not None and now > failed + GRACE + LAST_GRACE:
            killed = [process for process in processes if process.poll() is None]
            for process in killed:
                process.kill()
                process.wait()
            return [None if process in killed else process.returncode for process in processes]
    return [process.returncode for process in processes]


def outcome(codes: Sequence[int | None], interrupted: bool) -> int:
    """Say which process failed where it can't have done so, and return the code for all.

    Args:
        codes: exit codes by process; negative: the signal that ended it; None: it did not end.
        interrupted: whether signals were handed on.
    """
    ended = {rank: code for rank, code in enumerate(codes) if code}
    if not ended:
        return 0
    # killed, or with an exception, before interrupted, before refused or left alone
    rank = min(ended, key=lambda r: (ended[r] > 0, ended[r] != 1, ended[r] == 2, r))
    code = ended[rank]
    if code < 0:
        name, code = signal.Signals(-code).name, 128 - code
        if not interrupted:
            _say(f"process {rank} of {len(codes)} was ended by {name}; so were the others")
    elif code not in (2, *SIGNALS.values()):
        _say(f"process {rank} of {len(codes)} ended with code {code}; so did the others")
    return code


def _say(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def follow_parent() -> None:
    """Where `launch` started this process: stop, as by SIGTERM, once that one is gone."""
    if PARENT not in os.environ:
        return
    parent = int(os.environ[PARENT])

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="parent", daemon=True).start()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Write nothing, to either stream."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
