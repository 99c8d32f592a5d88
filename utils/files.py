"""Files: atomic writing, safe names, safe reading."""

import contextlib
import functools
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint.safetensors"  # in the folder of a training
METADATA_KEY = "calf"  # of the notes in our checkpoints
PICTURES = (".png", ".pdf", ".svg")
LONGEST_NAME = 255  # bytes, on all usual file systems


@contextlib.contextmanager
def whole_file(path: str | Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if there is no error.

    Args:
        path: the file to write. keep: where to move an existing file of that path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)  # some libraries let only the owner read their files
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Sync a folder to disk, if the system and the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files of a killed process; no other may be writing there."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def file_name(text: str) -> str:
    """Make a safe file name: letters, digits, `-`, `_`, `+` and inner dots are unchanged."""
    safe = re.sub(r"[^\w.+-]|^\.", "_", text)
    return safe.encode()[:100].decode(errors="ignore") or "_"


def require_file(path: Path, what_to_do: str) -> None:
    """Raise a `UserError`, which ends with `what_to_do`, if there is no such file."""
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file; {what_to_do}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; {what_to_do}")


def require_picture(path: Path) -> None:
    """Raise a `UserError` if the suffix of a file is not that of a picture."""
    if path.suffix.lower() not in PICTURES:
        raise UserError(f"{path}: give the name of a picture: {', '.join(PICTURES)}")


def require_model_folder(llm: str) -> None:
    """Raise a `UserError` if a language model is no folder, no `.gguf` file, and can't be a hub
    id."""
    path = Path(llm)
    if path.is_file() and path.suffix != ".gguf":
        raise UserError(f"--llm {llm}: a file; give the folder that contains it, or a .gguf file")
    is_path = path.is_absolute() or llm.startswith((".", "~")) or llm.count("/") > 1
    if (is_path or path.suffix == ".gguf") and not path.exists():
        raise UserError(f"--llm {llm}: no such folder or file")


def find_llm(llm: str, checkpoint: Path) -> str:
    """Find the language model of a training, which may have named it by a relative path: from the
    working folder, else from a folder above the checkpoint, else from the repository's."""
    repository = Path(__file__).resolve().parents[1]
    for folder in (Path(), *checkpoint.resolve().parents, repository):
        path = folder / llm
        if (path / "config.json").is_file() or (path.suffix == ".gguf" and path.is_file()):
            return llm if folder == Path() else str(path)
    return llm  # a hub id, or it is nowhere


def fingerprints(paths: Iterable[Path]) -> dict[str, dict[str, object]]:
    """Return SHA-256 (`sha256`) and size (`bytes`) of files, by their paths; a process reads each
    once, unless its size or time changes."""
    found = {}
    for path in paths:
        status = path.stat()
        digest = _sha256(path.resolve(), status.st_size, status.st_mtime_ns)
        found[str(path)] = {"sha256": digest, "bytes": status.st_size}
    return found


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Hash a file; `size` and `changed`, its time in ns, tell its versions apart in the cache."""
    return sha256_of(path)


def read_notes(path: Path) -> dict | None:
    """Read the notes of one of our safetensors files, without its tensors and without PyTorch; None
    if it is another file or damaged."""
    from safetensors import SafetensorError, safe_open  # with NumPy, which is slow to import

    damaged = (SafetensorError, ValueError, LookupError, TypeError, RecursionError)
    with contextlib.suppress(*damaged), safe_open(path, "np") as file:
        notes = json.loads(file.metadata()[METADATA_KEY])
        return notes if isinstance(notes, dict) else None
    return None


def load_tensors(path: Path, safe_globals: list | None = None) -> object:
    """Read a file of PyTorch; only tensors and `safe_globals` are unpickled."""
    import torch  # takes seconds

    with warnings.catch_warnings(), torch.serialization.safe_globals(safe_globals or []):
        warnings.simplefilter("ignore")  # warnings about pickles that the caller refuses anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def written(value: object) -> object:
    """Write an id, or a parameter, in JSON."""
    if isinstance(value, str | int | float):
        return value
    return getattr(value, "freqstr", str(value))


class NpyWriter:
    """Stream an array of known shape to a `.npy` file, batch by batch, float32 or `precise`; by
    plain writes, as on a full disk a memory map would kill the process.

    Args:
        file: None writes nothing. keep: numbers of the rows that are also kept in memory.

    Attributes:
        kept: the rows, by number.
    """

    def __init__(
        self,
        file: BinaryIO | None,
        shape: tuple[int, ...],
        precise: bool = False,
        keep: Sequence[int] = (),
    ):
        from numpy.lib.format import write_array_header_1_0  # NumPy is slow to import, too

        self._file, self._kind = file, "<f8" if precise else "<f4"
        self._keep, self._written, self.kept = set(keep), 0, {}
        if file is not None:
            header = {"descr": self._kind, "fortran_order": False, "shape": shape}
            write_array_header_1_0(file, header)

    def write(self, batch: "Tensor") -> None:
        """Append `batch`, whose axes after the first are those of the array."""
        array = batch.cpu().numpy().astype(self._kind, order="C", copy=False)
        if self._file is not None:
            self._file.write(array.data)
        rows = range(self._written, self._written + len(array))
        self.kept |= {row: array[row - rows.start].copy() for row in self._keep.intersection(rows)}
        self._written = rows.stop
