"""The order in which windows are visited."""

from collections.abc import Iterator

import torch
from torch import Tensor


def index_batches(
    count: int,
    batch_size: int,
    device: torch.device,
    shuffle_seed: int | None = None,
    drop_last: bool = False,
) -> Iterator[Tensor]:
    """Yield the indices of `count` windows in batches `[batch]` on `device`.

    Args:
        count: number of windows.
        batch_size: windows per batch.
        device: the device of the data.
        shuffle_seed: seed of the permutation; None does not shuffle.
        drop_last: drop an incomplete last batch, unless it is the only one.
    """
    if shuffle_seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(shuffle_seed))
    if drop_last and count >= batch_size:
        order = order[: count - count % batch_size]
    yield from order.to(device).split(batch_size)


def batch_count(count: int, batch_size: int, drop_last: bool = False) -> int:
    """Number of batches that `index_batches` yields."""
    if drop_last and count >= batch_size:
        return count // batch_size
    return -(-count // batch_size)
