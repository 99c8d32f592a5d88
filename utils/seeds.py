"""Random seeds: draws depend only on the run's seed and on their place, such as epoch and step.

So a run is resumed without a random state.
"""

import hashlib
import random

import numpy as np
import torch


def derived_seed(seed: int, *where: int | str) -> int:
    """Derive the seed of one place, such as an epoch and a step, from the run's seed.

    Similar places give unrelated seeds.
    """
    digest = hashlib.blake2b(repr((seed, *where)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
