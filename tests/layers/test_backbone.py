"""Loading a GPT-2, and the messages when that fails."""

import json
import time

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from layers import backbone
from layers.backbone import check_backbone, load_backbone
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
    def model_info(self, *_, **__):
        if failure == "hangs":
            time.sleep(60)
        raise ConnectionError("no route")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(HfApi, "model_info", model_info)
    monkeypatch.setattr(backbone, "HUB_TIMEOUT", 0.1)
    with pytest.raises(UserError) as caught:
        load_backbone("someone/no-such-gpt2")
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
