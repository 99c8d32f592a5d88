"""Loading a GPT-2, and the messages when that fails."""

import hashlib
import json
import shutil
import threading

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from layers import backbone
from layers.backbone import (
    check_backbone,
    describe_weights_file,
    load_backbone,
    warn_of_another_gpt2,
)
from utils.errors import UserError


def test_folder(small_gpt2):
    model = load_backbone(str(small_gpt2))
    saved = load_file(small_gpt2 / "model.safetensors")
    assert torch.equal(model.h[2].mlp.c_fc.weight, saved["h.2.mlp.c_fc.weight"])


def test_random_weights_follow_their_seed_alone(small_gpt2):
    state = torch.get_rng_state()
    one = load_backbone(str(small_gpt2), "random", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    same, other = (load_backbone(str(small_gpt2), "random", seed) for seed in (3, 4))
    assert torch.equal(one.wpe.weight, same.wpe.weight)
    assert not torch.equal(one.wpe.weight, other.wpe.weight)


def test_random_gpt2_needs_no_network(monkeypatch):
    monkeypatch.setattr(backbone, "_from_pretrained", None)
    config = backbone.load_config("gpt2")
    assert (config.n_embd, config.n_layer, config.n_head, config.vocab_size) == (768, 12, 12, 50257)
    assert backbone.load_config("openai-community/gpt2-medium").n_layer == 24


@pytest.mark.parametrize("failure", ["refuses", "hangs"])
def test_no_hub(monkeypatch, failure, tmp_path):
    given_up = threading.Event()

    def model_info(self, *_, **__):
        if failure == "hangs":
            given_up.wait()
        raise ConnectionError("no route")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(HfApi, "model_info", model_info)
    monkeypatch.setattr(backbone, "HUB_TIMEOUT", 0.1)
    with pytest.raises(UserError) as caught:
        load_backbone("someone/no-such-gpt2")
    given_up.set()
    message = str(caught.value)
    assert "can't be reached" in message
    for way_out in ("mirror", "folder", "--llm_weights random"):
        assert way_out in message
    assert "\n" not in message


def folder_with(small_gpt2, path, what: str):
    """Copy the small GPT-2 with one thing wrong."""
    config = json.loads((small_gpt2 / "config.json").read_text())
    weights = load_file(small_gpt2 / "model.safetensors")
    if what == "another architecture":
        config["model_type"] = "bert"
    if what == "weights missing":
        del weights["h.1.attn.c_attn.weight"]
    if what != "no config":
        (path / "config.json").write_text("{" if what == "broken config" else json.dumps(config))
    if what != "no weights":
        save_file(weights, path / "model.safetensors", {"format": "pt"})
    if what == "cut short":
        whole = (path / "model.safetensors").read_bytes()
        (path / "model.safetensors").write_bytes(whole[:5000])
    return str(path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no config", "config.json"),
        ("broken config", "JSON"),
        ("another architecture", "bert"),
        ("no weights", "model.safetensors"),
        ("weights missing", "h.1.attn.c_attn.weight"),
        ("cut short", "can't load"),
    ],
)
def test_bad_folders(small_gpt2, tmp_path, what, said):
    with pytest.raises(UserError, match=said) as caught:
        load_backbone(folder_with(small_gpt2, tmp_path, what))
    assert "\n" not in str(caught.value)


def test_no_such_folder():
    with pytest.raises(UserError, match="no such folder"):
        load_backbone("./no/such/folder")


def test_width_and_depth(small_gpt2):
    config = load_backbone(str(small_gpt2)).config
    check_backbone(config, "x", 24, 3)
    with pytest.raises(UserError, match=r"512.*24"):
        check_backbone(config, "x", 512, 3)
    with pytest.raises(UserError, match=r"4.*3 blocks"):
        check_backbone(config, "x", 24, 4)


# Whose weights they are


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_file_of_a_folder(small_gpt2, tmp_path, monkeypatch, capsys, name):
    folder = tmp_path / "gpt2"
    shutil.copytree(small_gpt2, folder)
    if name == "pytorch_model.bin":
        torch.save(load_file(folder / "model.safetensors"), folder / name)
        (folder / "model.safetensors").unlink()
    load_backbone(str(folder))
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    file = describe_weights_file(str(folder))
    assert file == {
        "name": name, "sha256": sha256, "revision": None, "is_published_gpt2": False
    }  # fmt: skip
    warn_of_another_gpt2(str(folder), file)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "not the published file of GPT-2" in line
    assert sha256 in line
    assert "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707" in line

    monkeypatch.setattr(backbone, "GPT2_SHA256", sha256)
    file = describe_weights_file(str(folder))
    assert file["is_published_gpt2"]
    assert file["revision"] == "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    warn_of_another_gpt2(str(folder), file)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("llm", "warned"),
    [
        ("gpt2", True),
        ("openai-community/gpt2", True),
        ("./weights/gpt2", True),
        ("distilgpt2", False),
        ("gpt2-medium", False),
        ("./weights/mine", False),
    ],
)
@pytest.mark.parametrize("file", [{"name": "x", "sha256": "y", "is_published_gpt2": False}, None])
def test_only_what_is_called_gpt2_is_held_to_it(capsys, llm, warned, file):
    warn_of_another_gpt2(llm, file)
    assert capsys.readouterr().out.count("not the published file") == warned


def test_weights_in_several_files_have_no_hash(small_gpt2, tmp_path):
    load_backbone(str(small_gpt2)).save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert describe_weights_file(str(tmp_path)) is None
