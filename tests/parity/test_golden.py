"""The recordings themselves are those of the originals."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import GOLDEN, ROOT
from tests.parity.recordings import load_tensors

HERE = ROOT / "tests" / "golden"
TINY = sorted((HERE / "tiny").glob("*.safetensors"))


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def bits(tensor: Tensor) -> tuple:
    """What two tensors must have in common to be the same, NaN and the sign of 0 included."""
    return tensor.dtype, tensor.shape, tensor.numpy().tobytes()


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
