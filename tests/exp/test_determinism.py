"""The same command gives the same bytes."""

from pathlib import Path

import pytest
import torch

from run import EXPERIMENTS, main
from tests.exp.small_runs import argv, differ
from utils.checkpoint import read_checkpoint


@pytest.fixture(autouse=True)
def lenient():
    """Leave strict mode as it was found, and the number of threads too."""
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def outcome(folder: Path, task: str, data: Path, monkeypatch, *more: str) -> dict[str, bytes]:
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(argv(task, data, "--train_epochs", "1", *more)) == 0
    paths = [*folder.glob("results/*/*.npy"), *folder.glob("m4_results/*/*.csv")]
    (checkpoint,) = folder.glob("checkpoints/*/checkpoint.safetensors")
    tensors = read_checkpoint(checkpoint).state.items()
    return {path.name: path.read_bytes() for path in paths} | {
        name: tensor.numpy().tobytes() for name, tensor in tensors
    }


@pytest.mark.parametrize("task", EXPERIMENTS)
def test_equal_bytes_and_strict_mode(small_data, tmp_path, monkeypatch, task):
    one = outcome(tmp_path / "one", task, small_data, monkeypatch)
    assert not torch.are_deterministic_algorithms_enabled()
    strict = outcome(tmp_path / "two", task, small_data, monkeypatch, "--deterministic")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert ("pred.npy" in one) == (task != "short_term_forecast")
    assert differ(one, strict) == []
    if task == "long_term_forecast":
        other = outcome(tmp_path / "three", task, small_data, monkeypatch, "--seed", "3")
        assert "pred.npy" in differ(one, other)
