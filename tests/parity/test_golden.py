"""The recordings themselves: complete, each tensor stored once, equal to the originals."""

from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import GOLDEN, ROOT
from tests.parity.recordings import elsewhere, load_tensors

HERE = ROOT / "tests" / "golden"
TINY = sorted((HERE / "tiny").glob("*.safetensors"))


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def bits(tensor: Tensor) -> tuple:
    """What two tensors must have in common to be the same, NaN and the sign of 0 included."""
    return tensor.dtype, tensor.shape, tensor.numpy().tobytes()


def test_each_tensor_stored_elsewhere_is_found():
    stored = {path: set(load_file(path)) for path in TINY}
    referred = set()
    for path in TINY:
        for other, names in elsewhere(path).items():
            assert not stored[path] & names.keys()
            assert set(names.values()) <= load_file(other).keys(), other
            referred |= {(other, name) for name in names.values()}
    recorded = {path for path in TINY if elsewhere(path)}
    assert len(recorded) == 5
    parts = {(path, name) for path in stored.keys() - recorded for name in stored[path]}
    assert parts <= referred


def test_each_tensor_is_stored_once():
    backbone = load_file(HERE / "tiny" / "gpt2_tiny" / "model.safetensors")
    known = Counter({bits(tensor): 1 for tensor in backbone.values()})
    known.update(bits(tensor) for path in TINY for tensor in load_file(path).values())
    assert known.most_common(1)[0][1] == 1


@pytest.mark.skipif(
    not GOLDEN.is_dir() or GOLDEN.samefile(HERE), reason="CALF_GOLDEN names no original recordings"
)
def test_equal_to_the_originals():
    added = {path.relative_to(HERE) for path in TINY} - files(GOLDEN)
    assert {path for path in files(HERE) - added if path.name != "README.md"} == {
        path for path in files(GOLDEN) if path.name != "README.md"
    }
    for path in files(GOLDEN):
        if path.suffix == ".safetensors":
            ours, theirs = load_tensors(HERE / path), load_file(GOLDEN / path)
            assert ours.keys() == theirs.keys(), path
            assert not [name for name in ours if bits(ours[name]) != bits(theirs[name])], path
        elif path.name != "README.md":
            assert (HERE / path).read_bytes() == (GOLDEN / path).read_bytes(), path
