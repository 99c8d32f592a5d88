"""Loading a language model, and the messages when that fails."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, constants
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, OPTConfig, T5Config, ViTConfig

from layers import backbone
from layers.backbone import (
    blocks_of,
    describe_weights_file,
    load_backbone,
    random_backbone,
    warn_of_another_gpt2,
)
from pca import main
from tests.conftest import refusal
from tests.datasets.hub_server import COMMIT, MODEL, serve_model, use_hub


def test_the_first_blocks(folders, family):
    state = torch.get_rng_state()
    model = load_backbone(str(folders[family]), n_layer=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(blocks_of(model)) == model.config.num_hidden_layers == 2
    saved = load_file(folders[family] / "model.safetensors")
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, saved[name]), name


def test_weights_in_half_precision_become_float32(folders, tmp_path):
    load_backbone(str(folders["llama"])).bfloat16().save_pretrained(tmp_path)
    for weights in ("pretrained", "random"):
        kinds = {p.dtype for p in load_backbone(str(tmp_path), weights).parameters()}
        assert kinds == {torch.float32}


def test_shuffled_weights(folders, family):
    """Every matrix of the blocks has its own values in another order, all else is as it was."""
    folder = str(folders[family])
    plain, one, same, other = (
        load_backbone(folder, weights, seed, 2)
        for weights, seed in [("pretrained", 1), *(("shuffled", seed) for seed in (1, 1, 2))]
    )
    inside = {id(p) for p in blocks_of(one).parameters()}
    for (name, p), before, again, differs in zip(
        one.named_parameters(), plain.parameters(), same.parameters(), other.parameters(),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(p, again)
        assert torch.equal(p.flatten().sort().values, before.flatten().sort().values), name
        shuffled = p.dim() > 1 and id(p) in inside
        assert torch.equal(p, before) != shuffled, name
        assert torch.equal(p, differs) != shuffled, name


def test_random_gpt2_is_drawn_whole(small_gpt2):
    """So that its first blocks do not depend on how many are used."""
    whole, part = (load_backbone(str(small_gpt2), "random", 3, n) for n in (3, 1))
    assert len(part.h) == 1
    assert torch.equal(part.h[0].mlp.c_proj.weight, whole.h[0].mlp.c_proj.weight)
    ours = random_backbone(AutoConfig.from_pretrained(small_gpt2), 3, 2).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in part.state_dict().items())


def test_random_gpt2_needs_no_network(monkeypatch):
    monkeypatch.setattr(backbone, "from_disk_or_hub", None)
    config = backbone.load_config("gpt2")
    assert (config.n_embd, config.n_layer, config.n_head, config.vocab_size) == (768, 12, 12, 50257)
    assert backbone.load_config("openai-community/gpt2-medium").n_layer == 24


def test_no_hub(monkeypatch, tmp_path):
    def model_info(self, *_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", model_info)
    message = refusal(load_backbone, "someone/no-such-gpt2")
    assert "can't be reached" in message
    for way_out in ("mirror", "folder", "--llm gpt2 --llm_weights random"):
        assert way_out in message
    assert "\n" not in message
    advice = "pass --llm_weights random"
    assert "--llm_weights random" in refusal(load_backbone, "gpt2")
    assert advice not in refusal(load_backbone, "someone/no-such-llama", "random")  # is followed


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no config", "config.json"),
        ("another architecture", "lacks"),
        ("unknown architecture", "from_the_future"),
        ("no weights", "no weights .*pass --llm_weights random"),
        ("cut short", "can't load"),
        ("no gguf", r"x\.gguf"),
    ],
)
def test_bad_folders(small_gpt2, tmp_path, what, said):
    folder = Path(shutil.copytree(small_gpt2, tmp_path / "x"))
    config, weights = folder / "config.json", folder / "model.safetensors"
    if what.endswith("architecture"):
        other = "opt" if what.startswith("another") else "from_the_future"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": other}))
    elif what == "no gguf":
        folder = tmp_path / "x.gguf"
        folder.write_bytes(b"GGUF?")
    elif what == "cut short":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        (config if what == "no config" else weights).unlink()
    assert re.search(said, refusal(load_backbone, str(folder)))


SIZES = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 60}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (T5Config(), "t5 model can't serve: it is an encoder-decoder"),
        (ViTConfig(num_hidden_layers=1), "vit model can't serve: it takes no embeddings"),
        (OPTConfig(**SIZES, word_embed_proj_dim=24), "opt model can't serve: "),
    ],
)
@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_models_that_can_not_serve(tmp_path, config, said, weights):
    config.save_pretrained(tmp_path)
    if weights == "pretrained" and config.model_type != "t5":
        AutoModel.from_config(config).save_pretrained(tmp_path)
    assert said in refusal(load_backbone, str(tmp_path), weights)


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


@pytest.mark.parametrize("file", [{"name": "x", "sha256": "y", "is_published_gpt2": False}, None])
def test_only_what_is_called_gpt2_is_held_to_it(capsys, file):
    names = ["gpt2", "openai-community/gpt2", "./weights/gpt2"]
    for llm in [*names, "distilgpt2", "gpt2-medium", "./weights/mine"]:
        warn_of_another_gpt2(llm, file)
        assert capsys.readouterr().out.count("not the published file") == (llm in names)


def test_weights_in_several_files_have_no_hash(small_gpt2, tmp_path):
    load_backbone(str(small_gpt2)).save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert describe_weights_file(str(tmp_path)) is None


@pytest.fixture
def visit(workdir, monkeypatch, capsys):
    """Compute word embeddings of a model on a hub; returns the exit code and the errors."""

    def visit(server, model: str = MODEL) -> tuple[int, str]:
        use_hub(monkeypatch, server, workdir / "hf")
        code = main(["--llm", model, "--n_components", "12"])
        return code, capsys.readouterr().err

    return visit


def test_download_then_cache_then_nothing(visit, workdir, small_gpt2):
    with serve_model(small_gpt2) as server:
        assert visit(server) == (0, "")
        code, error = visit(server, "someone/else")
    words = (workdir / "wte_pca_500.pt").read_bytes()
    assert code == 2
    assert "neither a local folder nor a model on the hub" in error

    assert describe_weights_file("someone/else") is None
    file = describe_weights_file(MODEL)
    assert (file["name"], file["revision"]) == ("model.safetensors", COMMIT)
    content = (small_gpt2 / "model.safetensors").read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()

    assert visit(server) == (0, "")  # which has stopped
    assert (workdir / "wte_pca_500.pt").read_bytes() == words

    with serve_model(small_gpt2, "breaks off") as server:
        code, error = visit(server, "gpt2")
    # the libraries' own retries take most of a minute
    assert 0 < sum(server.requests.values()) < 5
    assert (code, error.count("\n")) == (2, 1)
    assert "--llm_weights random" in error
