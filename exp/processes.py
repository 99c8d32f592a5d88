"""Several processes as one: who computes what, and how it comes together again."""

import os
import re
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor

from utils.errors import UserError

PATIENCE = timedelta(minutes=10)  # that processes wait for each other
PARTING = 5.0  # seconds that one which failed waits for what the others have to say

T = TypeVar("T")


class ProcessGone(UserError):
    """Another process ended, or does not answer."""


class Processes:
    """The processes of a run that torchrun or `accelerate launch` started; usually one.

    All of them read the same data and draw the same batches. In training each computes some of the
    passes of a batch, and the gradients are added up; in evaluation each computes some of the
    windows, and all get the outputs of all.

    Args:
        use_gpu: a GPU each, by NCCL; else the CPU, by gloo.
        cuda_asked: whether the CPU will not do where there is no GPU.

    Attributes:
        count: how many. rank: number of this one, from 0. device: where it computes; None for a
            single process, which chooses for itself.

    Raises:
        UserError: there are fewer GPUs on this machine than processes.
    """

    def __init__(self, use_gpu: bool, cuda_asked: bool = False):
        self.count, self.rank, self.device = int(os.environ.get("WORLD_SIZE", "1")), 0, None
        if self.count == 1:
            return
        from accelerate import PartialState

        gpus = torch.cuda.device_count() if use_gpu and torch.cuda.is_available() else 0
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= gpus and (gpus or (use_gpu and cuda_asked)):
            raise UserError(
                f"process {local} of this machine has no GPU: to be seen here: {gpus}; start fewer "
                "processes, or pass --use_gpu 0, to run on the CPU"
            )
        state = PartialState(cpu=not gpus, timeout=PATIENCE)
        self.count, self.rank, self.device = state.num_processes, state.process_index, state.device

    def shard(self, items: Iterable[T]) -> list[T]:
        """Those of `items` that this process computes."""
        return [item for number, item in enumerate(items) if number % self.count == self.rank]

    def shard_bounds(self, rows: int) -> tuple[int, int]:
        """First row and end of the share of this process."""
        return rows * self.rank // self.count, rows * (self.rank + 1) // self.count

    def gather(self, part: Tensor, rows: int) -> Tensor:
        """Put the shares `part` `[share, ..]` of all processes together, `[rows, ..]`."""
        if self.count == 1:
            return part
        largest = -(-rows // self.count)
        padded = part.new_zeros(largest, *part.shape[1:])
        padded[: len(part)] = part
        shares = [torch.empty_like(padded) for _ in range(self.count)]
        self._together(torch.distributed.all_gather, shares, padded)
        ends = [rows * (rank + 1) // self.count for rank in range(self.count)]
        starts = [0, *ends[:-1]]
        sized = zip(shares, starts, ends, strict=True)
        return torch.cat([share[: end - start] for share, start, end in sized])

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        self._together(torch.distributed.all_reduce, flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast(self, *numbers: float) -> tuple[float, ...]:
        """Take the numbers of process 0, so that all decide alike; waits for all."""
        if self.count == 1:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        self._together(torch.distributed.broadcast, tensor, 0)
        return tuple(tensor.tolist())

    def _together(self, operation: object, *arguments: object) -> None:
        try:
            operation(*arguments)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[0]
            reason = re.sub(r"^\[\S+\] ", "", line).partition(". ")[0]  # no source file, no advice
            raise ProcessGone(
                f"another of the {self.count} processes ended or does not answer: {reason}"
            ) from error


def first_to_say(error: BaseException) -> bool:
    """Whether it is for this process, which ends by `error`, to say so.

    What ends several processes is said by the first of them; that another one ended is said where
    that one had nothing to say itself. Leaves the other processes: they learn of it at once.
    """
    from torch.distributed import distributed_c10d as c10d

    gone = isinstance(error, ProcessGone)
    if not c10d.is_initialized():  # all have the same arguments, and so the same errors
        return int(os.environ.get("RANK", "0")) == 0
    store, rank, count = c10d._get_default_store(), c10d.get_rank(), c10d.get_world_size()
    on_gpu = c10d.get_backend() == "nccl"  # where leaving waits for work that may never end
    try:
        if gone:  # some said why they end; nobody, if one was killed
            first = store.add("said", 1) == 1
        else:
            store.add("said", 1)
            first = store.add(f"said {error!r}", 1) == 1
        store.add("left", 1)
        if not on_gpu:
            c10d.destroy_process_group()
        end = time.monotonic() + (1.0 if gone else PARTING)
        while rank == 0 and store.add("left", 0) < count and time.monotonic() < end:
            time.sleep(0.05)  # the store lives in this process
    except RuntimeError:  # it lived in the process that ended
        return True
    return first
