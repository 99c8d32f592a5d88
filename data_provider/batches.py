"""The order in which windows are visited."""

import torch
from torch import Tensor


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
