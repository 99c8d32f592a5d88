"""Several processes of one run: the shard of each, and the collectives."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.interrupts import SIGNALS, Interrupted, exit_at_once, handle

TIMEOUT = timedelta(minutes=10)  # of a collective
SAVING = 20.0  # seconds that an interrupted process waits for rank 0 to write the state
PARTING = 5.0  # seconds that a failed process waits for the others

T = TypeVar("T")


class ProcessGone(UserError):
    """Another process ended, or does not answer."""


class Processes:
    """The processes of a run, started by `--use_multi_gpu`, torchrun or accelerate; usually one.

    All read the same data and draw the same batches. In training each computes a shard of the
    micro-batches, and the gradients are summed; in evaluation each computes a shard of the
    windows, and all gather the outputs.

    Args:
        use_gpu: one GPU per process and NCCL; else the CPU and gloo.
        cuda_asked: whether a machine without GPUs is an error.

    Attributes:
        count: world size. rank: of this process. device: of this process; None if it is the only
            one.

    Raises:
        UserError: this machine has fewer GPUs than processes; raised by all of them.
        ProcessGone: another process ended before all were connected.
    """

    def __init__(self, use_gpu: bool, cuda_asked: bool = False):
        self.count, self.rank, self.device = int(os.environ.get("WORLD_SIZE", "1")), 0, None
        if self.count == 1:
            return
        from accelerate import PartialState

        gpus = torch.cuda.device_count() if use_gpu and torch.cuda.is_available() else 0
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if local > gpus and (gpus or (use_gpu and cuda_asked)):
            raise UserError(
                f"{local} processes on this machine, but visible GPUs: {gpus}; start fewer "
                "processes, or pass --use_gpu 0 to run on the CPU"
            )
        state = self._collective(partial(PartialState, cpu=not gpus, timeout=TIMEOUT))
        self.count, self.rank, self.device = state.num_processes, state.process_index, state.device
        # a process that failed and left now would break the connecting of the others
        self.all_reduce([torch.zeros(1, device=self.device)])

    def shard(self, items: Iterable[T]) -> list[T]:
        """This rank's shard: every `count`-th of `items`."""
        return [item for number, item in enumerate(items) if number % self.count == self.rank]

    def bounds(self, rows: int, size: int | None = None) -> list[int]:
        """Divide `rows` among the ranks.

        Args:
            size: rows of every shard as long as there are any; by default equal shards.

        Returns:
            The first row of each rank's shard, and at last `rows`.
        """
        if size is None:
            return [rows * rank // self.count for rank in range(self.count + 1)]
        return [min(rows, size * rank) for rank in range(self.count)] + [rows]

    def gather(self, shard: Tensor, bounds: list[int]) -> Tensor:
        """Concatenate the shards `[shard, ..]` of all ranks, cut at `bounds`, on all of them."""
        if self.count == 1:
            return shard
        from accelerate.utils import gather

        # not accelerate's pad_across_processes: it gathers the sizes first, which are known here
        sizes = [end - start for start, end in pairwise(bounds)]
        largest = max(sizes)
        padded = shard.new_zeros(largest, *shard.shape[1:])
        padded[: len(shard)] = shard
        shards = self._collective(gather, padded).split(largest)
        return torch.cat([part[:size] for part, size in zip(shards, sizes, strict=True)])

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, all in one collective."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        flat = self._collective(reduce, flat, "sum")
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast(self, *numbers: float | None) -> tuple[float | None, ...]:
        """Return the numbers of rank 0, on which all ranks decide; waits for rank 0.

        What is None is so on all ranks.
        """
        if self.count == 1:
            return numbers
        from accelerate.utils import broadcast

        known = [0.0 if number is None else number for number in numbers]
        tensor = torch.tensor(known, dtype=torch.float64, device=self.device)
        received = self._collective(broadcast, tensor).tolist()
        pairs = zip(numbers, received, strict=True)
        return tuple(None if number is None else value for number, value in pairs)

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of rank 0, such as running statistics, to all ranks."""
        buffers = [b for b in model.buffers() if b.is_floating_point()]
        if self.count > 1 and buffers:
            self.all_reduce([b.zero_() if self.rank else b for b in buffers])

    def _collective(self, operation: Callable[..., T], *arguments: object) -> T:
        """Call a collective.

        Raises:
            ProcessGone: another process ended, or did not answer in time.
        """
        try:
            return operation(*arguments)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[0]
            reason = re.sub(r"^\[\S+\] ", "", line).partition(". ")[0]  # no source file, no advice
            raise ProcessGone(
                f"another of the {self.count} processes ended or does not answer: {reason}"
            ) from error


def reports(error: BaseException) -> bool:
    """Leave the other processes, and return whether this one prints `error`.

    The first process with an error prints it; rank 0 prints an interruption. `ProcessGone` is
    printed only if the process that ended reported nothing itself.

    A launcher terminates all processes as soon as one has ended. Therefore each waits here until
    all have come, and the one that prints ignores signals.
    """
    from torch.distributed import distributed_c10d as c10d

    if not c10d.is_initialized():  # before that all processes have the same errors
        rank = int(os.environ.get("RANK", "0"))
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
    """Wait until `done`, at most for `seconds`."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
