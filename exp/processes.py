"""Several processes as one: who computes what, and how it comes together again."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor

from utils.errors import UserError

PATIENCE = timedelta(minutes=10)  # that processes wait for each other

T = TypeVar("T")


class Processes:
    """The processes of a run that torchrun or `accelerate launch` started; usually one.

    All of them read the same data and draw the same batches. In training each computes some of the
    passes of a batch, and the gradients are added up; in evaluation each computes some of the
    windows, and all get the outputs of all.

    Args:
        use_gpu: a GPU each, by NCCL; else the CPU, by gloo.

    Attributes:
        count: how many. rank: number of this one, from 0. device: where it computes; None for a
            single process, which chooses for itself.
    """

    def __init__(self, use_gpu: bool):
        self.count, self.rank, self.device = int(os.environ.get("WORLD_SIZE", "1")), 0, None
        if self.count == 1:
            return
        from accelerate import PartialState

        cuda = use_gpu and torch.cuda.is_available()
        state = PartialState(cpu=not cuda, timeout=PATIENCE)
        self.count, self.rank, self.device = state.num_processes, state.process_index, state.device

    def mine(self, items: Iterable[T]) -> Iterable[T]:
        """Those of `items` that this process computes."""
        return [item for number, item in enumerate(items) if number % self.count == self.rank]

    def bounds(self, rows: int) -> tuple[int, int]:
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

    def add(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten().float() for tensor in tensors])
        self._together(torch.distributed.all_reduce, flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def _together(self, operation: object, *tensors: object) -> None:
        try:
            operation(*tensors)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"process {self.rank} of {self.count}: another process ended or does not answer: "
                f"{reason}"
            ) from error
