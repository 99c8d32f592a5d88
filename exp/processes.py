"""Several processes of one run: the shard of each, the collectives, and how all stop at once."""

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from itertools import islice, pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from utils.errors import ProcessGone, UserError
from utils.interrupts import SIGNALS, Interrupted, Interrupts

TIMEOUT = timedelta(minutes=10)  # of a collective

T = TypeVar("T")


class Processes:
    """The processes of a run, started by `--use_multi_gpu`, torchrun or accelerate; usually one.

    All draw the same batches. In training each computes a shard of the micro-batches, and the
    gradients are summed; in evaluation each computes a shard of the windows.

    Args:
        use_gpu: one GPU per process and NCCL; else the CPU and gloo.
        cuda_asked: whether a machine without GPUs is an error.

    Attributes:
        count: world size. rank: of this process. device: of this process; None if it is alone.

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
        return list(islice(items, self.rank, None, self.count))

    def bounds(self, rows: int, size: int | None = None) -> list[int]:
        """Divide `rows` among the ranks: the first row of each rank's shard, and at last `rows`.

        Args:
            size: rows of every shard as long as there are any; by default equal shards.
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
        """Return the numbers of rank 0, on which all ranks decide."""
        if self.count == 1:
            return numbers
        from accelerate.utils import broadcast_object_list

        return tuple(self._collective(broadcast_object_list, list(numbers)))

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of rank 0, such as running statistics, to all ranks."""
        if self.count > 1:
            from accelerate.utils import broadcast

            self._collective(broadcast, [b for b in model.buffers() if b.is_floating_point()])

    def _collective(self, operation: Callable[..., T], *arguments: object) -> T:
        """Call a collective; another process that ended, or did not answer in time, raises."""
        try:
            return operation(*arguments)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[0]
            reason = re.sub(r"^\[\S+\] ", "", line).partition(". ")[0]  # no source file, no advice
            raise ProcessGone(
                f"another of the {self.count} processes ended or does not answer: {reason}"
            ) from error


class Stopping(Interrupts):
    """Records SIGINT and SIGTERM within this context; `check` raises them at safe points.

    An exception raised by the signal handler itself could be lost, for instance in a callback.
    """

    def __init__(self, processes: Processes, device: torch.device):
        super().__init__()
        self.processes, self.device = processes, device

    def check(self) -> None:
        """Raise `Interrupted` if any process received a signal."""
        if self.processes.count == 1:
            super().check()
            return
        flags = torch.tensor([code == self.code for code in SIGNALS.values()], device=self.device)
        self.processes.all_reduce([flags])
        for code, received in zip(SIGNALS.values(), flags.tolist(), strict=True):
            if received:
                raise Interrupted(code)
