"""Checkpoint files: ours, with a checksum and metadata, and state dicts of the authors' code."""

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from utils.command_line import message_of
from utils.errors import UserError
from utils.files import METADATA_KEY, load_tensors, require_file, whole_file
from utils.results import previous_state

CHECKSUM_KEY = "sha256"  # over the tensors and notes of a file
OWN = "forecaster."  # begins the names of tensors that are not the model's
TIED = "tied"  # in the notes: names of tensors that stand in the file by another name
FORMAT = 1  # raise it when earlier versions would misread new files


@dataclass(frozen=True)
class Checkpoint:
    """A state dict and its metadata (empty for one of the authors' code).

    `verified`: whether it has a checksum, which is correct.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict
    verified: bool = False

    def trained_with(self) -> dict:
        """Return the arguments of its training, or a digest of its tensors if they are unknown."""
        if "arguments" in self.metadata:
            return self.metadata["arguments"]
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state.items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        return {"model_digest": digest.hexdigest()}


def save_tensors(
    path: str | Path, tensors: dict[str, Tensor], notes: dict, keep: Path | None = None
) -> None:
    """Write tensors and notes, which JSON can encode, with a checksum, atomically; tied tensors are
    stored once. `keep`: where to move an earlier file of that path."""
    first, stored, tied = {}, {}, {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.stride())
        same = first.setdefault((*place, tensor.shape, tensor.dtype), name)
        if same != name and tensor.numel():
            tied[name] = same
            continue
        is_part = tensor.untyped_storage().nbytes() > tensor.nbytes  # of another one
        tensor = tensor.cpu().contiguous()
        stored[name] = tensor.clone() if is_part else tensor
    text = json.dumps({"format": FORMAT, **({TIED: tied} if tied else {}), **notes})
    metadata = {METADATA_KEY: text, CHECKSUM_KEY: checksum(stored, text)}
    with whole_file(path, keep) as part:
        try:
            save_file(stored, part, metadata)
        except SafetensorError as error:  # on a full disk too
            code = re.search(r"os error (\d+)", str(error))
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def checksum(tensors: dict[str, Tensor], notes: str) -> str:
    """Hash the tensors of a file, sorted by name, and its notes."""
    digest = hashlib.sha256(notes.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read one of our files, or a state dict of the authors' code (`.pth` or safetensors).

    Raises:
        UserError: the file is missing, damaged or of an unknown format; or it contains anything but
            tensors, which is not unpickled.
    """
    path, verified = Path(path), False
    require_file(path, "train first, or name a checkpoint by --checkpoint")
    try:
        with path.open("rb") as file:
            ours = file.read(9)[8:] == b"{"  # safetensors: a length, then JSON
        if not ours:
            state, metadata = load_tensors(path), {}
        else:
            with safe_open(path, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                written = file.metadata() or {}
                text = written.get(METADATA_KEY, "{}")
                metadata = _parse_notes(text)
                verified = CHECKSUM_KEY in written
                if verified and written[CHECKSUM_KEY] != checksum(state, text):
                    raise ValueError("wrong checksum")
                state |= {name: state[same] for name, same in metadata.get(TIED, {}).items()}
    except OSError:
        raise
    except (SafetensorError, ValueError, RuntimeError, EOFError, KeyError) as error:
        raise UserError(f"{path}: the checkpoint is damaged or not one of a model") from error
    except Exception as error:
        raise UserError(
            f"{path}: refused: not a checkpoint, or it contains more than tensors"
        ) from error
    if (found := metadata.get("format", FORMAT)) != FORMAT:
        raise UserError(
            f"{path}: a checkpoint of format {found}, but this version of the program reads "
            f"format {FORMAT}: use the version that wrote it, or train again"
        )
    is_state = isinstance(state, dict) and all(
        isinstance(name, str)
        and torch.is_tensor(value)
        and value.layout == torch.strided
        and not (value.is_meta or value.is_quantized)
        for name, value in state.items()
    )
    if not is_state:
        raise UserError(f"{path}: refused: not a state dict of tensors")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    return Checkpoint(path, state, metadata, verified)


def _parse_notes(text: str) -> dict:
    """Parse the notes of one of our files; a `ValueError` if their structure is another one."""
    notes = json.loads(text)
    try:
        columns, epochs = notes.get("columns", []), notes.get("epochs", [])
        moments = [notes["scaler"][name] for name in ("mean", "scale")] if "scaler" in notes else []
        numbers = [*chain(*moments), *(epoch["seconds"] for epoch in epochs)]
        as_written = (
            all(isinstance(notes.get(name, {}), dict) for name in ("config", "backbone", "epoch"))
            and isinstance(columns, list)
            and all(isinstance(name, str) for name in columns)
            and all(len(values) == len(notes.get("series", columns)) for values in moments)
            and all(map(math.isfinite, numbers))
        )
    except (AttributeError, LookupError, TypeError):
        as_written = False
    if not as_written:
        raise ValueError("unexpected notes")
    return notes


class StateFile:
    """The files of a run's resume state, the newest at `path`, and of the previous one."""

    def __init__(self, path: Path):
        self.path = path
        self.previous = previous_state(path)
        self.damaged = path.with_name(f"{path.stem}.damaged{path.suffix}")
        self._is_damaged = False

    def save(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write a state; the last one becomes the previous one."""
        if self._is_damaged:  # it must not replace the previous one
            self.path.replace(self.damaged)
            self._is_damaged = False
        save_tensors(self.path, tensors, notes, keep=self.previous)

    def remove(self) -> None:
        """Remove all states of the run."""
        for path in self.path.parent.glob(f"{self.path.stem}*{self.path.suffix}"):
            if path.is_file():
                path.unlink()

    def read(self) -> Checkpoint | None:
        """Read the newest undamaged state; None if there is none, a `UserError` if all are
        damaged."""
        there = [path for path in (self.path, self.previous) if path.exists()]
        for path in there:
            try:
                checkpoint = read_checkpoint(path)
                if checkpoint.verified:
                    return checkpoint
                why = f"{path}: the checksum is missing"
            except (UserError, OSError) as error:
                why = message_of(error)
            self._is_damaged |= path == self.path
            if path != there[-1]:
                print(f"{why}; trying the one before it: {there[-1]}")
        if not there:
            return None
        names = " and ".join(map(str, there))
        raise UserError(
            f"{names}: damaged: there is no state to --resume from; start anew without it"
        )
