"""CALF and GPT4TS on language models of several families, by the command line;
`tests/layers/test_branches.py` says of each family what their modules compute."""

from pathlib import Path

import numpy as np
import pytest

from models.objectives import WORD_TABLE
from run import main
from tests.conftest import without
from utils.checkpoint import read_checkpoint

SEVERAL = ["gpt2", "gemma2", "modernbert"]  # learned, rotary and no causal positions
SHORT = "--train_epochs 1 --percent 30 --word_embedding_path none".split()


@pytest.fixture
def run(workdir, newest, record):
    """Run a command; returns the record and the predictions."""

    def run(argv: list[str]) -> tuple[dict, np.ndarray]:
        assert main(argv) == 0
        return record(), np.load(newest() / "pred.npy")

    return run


@pytest.mark.parametrize("family", SEVERAL)
def test_checkpoints(run, command, folders, family):
    """They have trained parameters alone, and predict what was predicted; `--d_model` is the
    model's."""
    argv = without(command(*SHORT, "--llm", str(folders[family])), "--d_model")
    record, predictions = run(argv)
    (path,) = Path("checkpoints").glob("*/checkpoint.safetensors")
    checkpoint = read_checkpoint(path)
    sizes = {name: tensor.numel() for name, tensor in checkpoint.state.items()}
    del sizes[WORD_TABLE]
    assert sum(sizes.values()) == checkpoint.metadata["parameters"]["trained"]
    again, same = run([*argv, "--is_training", "0"])
    assert again["scores"] == record["scores"]
    assert np.array_equal(predictions, same)


@pytest.mark.parametrize("weights", ["pretrained", "shuffled", "random"])
def test_weights(run, command, folders, weights, capsys):
    argv = command(*SHORT, "--llm", str(folders["llama"]), "--llm_weights", weights)
    argv = [*without(argv, "--d_model"), "--r", "0"]
    record, predictions = run(argv)
    assert record["backbone"]["llm_weights"] == weights
    seed = "its weights" if weights == "pretrained" else f"{weights} weights (seed 2021)"
    assert seed in capsys.readouterr().out
    _, same = run([*argv, "--is_training", "0"])
    assert np.array_equal(predictions, same)


@pytest.mark.parametrize("family", SEVERAL)
def test_gpt4ts(run, command, folders, family):
    argv = command("--model", "GPT4TS", "--llm", str(folders[family]), *SHORT[:4])
    argv = without(argv, "--d_model", "--word_embedding_path")
    argv += ["--patch_len", "8", "--stride", "4"]
    _, predictions = run(argv)
    _, same = run([*argv, "--is_training", "0"])
    assert np.array_equal(predictions, same)
