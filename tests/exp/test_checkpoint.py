"""Checkpoints: the reference's, ours, and files that are neither."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file
from transformers import GPT2Config, GPT2Model

from data_provider.splits import read_data, splits_of
from run import main, parse_args
from tests.conftest import load
from tests.parity.recordings import Recording, tiny_options
from utils.checkpoint import read_checkpoint, save_tensors


@pytest.fixture
def reference(golden, workdir, synthetic_csv):
    """A checkpoint as the authors' code writes it, and the command line that tests it."""
    recording = Recording(golden, "long_term_forecast")
    torch.save(recording.group("state"), workdir / "checkpoint.pth")
    config = recording.config
    argv = [
        *"--task_name long_term_forecast --is_training 0 --model_id r --data custom".split(),
        *f"--root_path {synthetic_csv.parent} --data_path {synthetic_csv.name}".split(),
        *f"--seq_len {config['seq_len']} --label_len 0 --pred_len {config['pred_len']}".split(),
        *tiny_options(recording.tiny), *"--model LLaTA --checkpoint checkpoint.pth".split(),
    ]  # fmt: skip
    return recording, argv


def test_reference_checkpoint(reference, results):
    """It brings its own backbone."""
    recording, argv = reference
    args = parse_args(argv)
    windows = splits_of(read_data(args), args).split("test")
    x, y = windows.batch(torch.arange(len(windows)))
    with torch.no_grad():
        expected = recording.model()(x)
    for more in ([], ["--llm_weights", "random"]):
        assert main([*argv, *more]) == 0
        np.testing.assert_allclose(load(results() / "pred.npy"), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(load(results() / "true.npy"), y)
        shutil.rmtree("results")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--pred_len", "7", "(7,"), ("--r", "3", "lora_A"), ("--gpt_layers", "1", "unknown")],
)
def test_reference_checkpoint_of_another_shape(refused, reference, option, value, said):
    message = refused([*reference[1], option, value])
    assert said in message and option in message


def test_checkpoint_of_other_options_or_version(workdir, command, refused):
    """What no shape shows is in the notes."""
    assert main(command("--train_epochs", "1")) == 0
    (ours,) = workdir.glob("checkpoints/*/checkpoint.safetensors")

    def tested(*more: str) -> str:
        return refused(command("--checkpoint", str(ours), "--is_training", "0", *more))

    assert "(24, 24) there and (24, 30) here" in tested("--seq_len", "30")
    assert "--lora_alpha 32" in tested("--lora_alpha", "16")
    message = tested("--llm_weights", "random")
    assert "another backbone" in message and "pretrained weights" in message
    wide = GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=32, vocab_size=50)
    GPT2Model(wide).save_pretrained(workdir / "wide")
    np.save("words.npy", np.ones((48, 12), dtype=np.float32))
    another = ("--llm", "wide", "--d_model", "48", "--word_embedding_path", "words.npy")
    assert "was trained with --d_model 24" in tested(*another)

    def with_notes(**changed: object) -> str:
        notes = read_checkpoint(ours).metadata | changed
        save_file(load_file(ours), "other.safetensors", {"calf": json.dumps(notes)})
        return tested("--checkpoint", "other.safetensors")

    assert "format 2" in with_notes(format=2)
    config = read_checkpoint(ours).metadata["config"]
    for name, value in {"lora_alpha": 16, "scale_free": 1, "words": "none"}.items():
        message = with_notes(config=config | {name: value})
        assert f"was trained with --{name} {value}: give the same" in message


@pytest.mark.parametrize(
    "content",
    [
        save({"a": torch.ones(3000)})[:500],
        b"",
        b"hello, this is no checkpoint at all",
        save({"a": torch.ones(3)}),
    ],
    ids=["cut short", "empty", "text", "another model"],
)
def test_no_checkpoint_at_all(workdir, command, refused, content):
    """`tests/test_security.py` has more kinds."""
    Path("x.pth").write_bytes(content)
    assert "x.pth" in refused(command("--checkpoint", "x.pth", "--is_training", "0"))


def test_checkpoints_of_several_gpus(workdir, golden):
    """DataParallel puts `module.` before every name."""
    state = load_file(golden / "tiny" / "long_term_forecast.safetensors")
    torch.save({f"module.{name}": value for name, value in state.items()}, "x.pth")
    assert read_checkpoint("x.pth").state.keys() == state.keys()


def test_tied_tensors_are_stored_once(tmp_path):
    weight = torch.randn(64, 64)
    tensors = {"a": weight, "b": weight, "part": weight[:2], "turned": weight.t()}
    save_tensors(tmp_path / "x.safetensors", tensors, {})
    assert (tmp_path / "x.safetensors").stat().st_size < 2.5 * weight.nbytes
    found = read_checkpoint(tmp_path / "x.safetensors").state
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
