"""Patches: the tokens of PatchTST (arXiv 2211.14730, section 3.1)."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from utils.errors import UserError


def patch_count(seq_len: int, patch_len: int, stride: int) -> int:
    """Count the patches that `patches` makes of `seq_len` steps: ⌊(L - P) / S⌋ + 2. If there is not
    even one, raise a `UserError`."""
    if patch_len > seq_len + stride:
        longer = f"longer than --seq_len {seq_len} and --stride {stride} together"
        raise UserError(f"--patch_len {patch_len} is {longer}: choose shorter patches")
    return (seq_len + stride - patch_len) // stride + 1


def patches(x: Tensor, patch_len: int, stride: int) -> Tensor:
    """Cut windows `[batch, length, channels]`, with `stride` repeats of the last value behind, into
    patches `[batch, channels, patches, patch_len]`."""
    padded = F.pad(rearrange(x, "b l c -> b c l"), (0, stride), "replicate")
    return padded.unfold(-1, patch_len, stride)
