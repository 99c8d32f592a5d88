"""The order in which windows are visited."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.seeds import derived_seed


def index_batches(
    count: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    shuffle_seed: int | None = None,
    drop_last: bool = False,
) -> tuple[Tensor, ...]:
    """Split the indices of `count` windows into batches `[batch]` on `device`.

    Args:
        shuffle_seed: seed of the permutation; None does not shuffle.
        drop_last: drop an incomplete last batch, unless it is the only one.
    """
    if shuffle_seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(shuffle_seed))
    if drop_last and count >= batch_size:
        order = order[: count - count % batch_size]
    return order.to(device).split(batch_size)


@dataclass(frozen=True)
class TrainingOrder:
    """The order in which training visits `count` windows on a device, `per_step` in an optimisation
    step; it depends on seed and epoch alone. `len` is the number of steps of an epoch."""

    count: int
    per_step: int
    device: torch.device
    seed: int
    drop_last: bool

    def __len__(self) -> int:
        return len(index_batches(self.count, self.per_step, drop_last=self.drop_last))

    def steps(self, epoch: int, done: int = 0) -> Iterator[tuple[int, Tensor]]:
        """Yield number and windows `[windows]` of each step of an epoch (both from 1), but for
        the first `done` ones."""
        seed = derived_seed(self.seed, epoch, "order")
        batches = index_batches(self.count, self.per_step, self.device, seed, self.drop_last)
        yield from list(enumerate(batches, start=1))[done:]
