"""Files that are whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from torch import Tensor


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the place of `path` only at a good end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class NpyWriter:
    """Stream a float32 array of known shape to a `.npy` file, batch by batch.

    Plain writes, not a memory map: on a full disk they raise an error instead of killing the
    process.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, ...]):
        self._file = file
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)

    def write(self, batch: Tensor) -> None:
        """Append `batch`, whose axes after the first are those of the array."""
        self._file.write(np.ascontiguousarray(batch.cpu().numpy(), dtype="<f4").data)
