"""Loading by hub id, from a server on this machine that speaks as the hub does."""

import hashlib
import os
import subprocess
import sys

from huggingface_hub import constants

from layers.backbone import describe_weights_file
from tests.conftest import ROOT
from tests.datasets.hub_server import COMMIT, MODEL, serve_model


def run_pca(workdir, address: str, model: str = MODEL) -> subprocess.CompletedProcess:
    environment = {
        **os.environ, "HF_ENDPOINT": address, "HF_HOME": str(workdir / "hf"),
        "HF_HUB_OFFLINE": "0",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, ROOT / "pca.py", "--llm", model, "--n_components", "12"],
        cwd=workdir, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_download_then_cache_then_nothing(workdir, small_gpt2, monkeypatch):
    with serve_model(small_gpt2) as server:
        done = run_pca(workdir, server.url)
        unknown = run_pca(workdir, server.url, "someone/else")
    assert done.returncode == 0, done.stderr
    words = (workdir / "wte_pca_500.pt").read_bytes()
    assert unknown.returncode == 2
    assert "neither a local folder nor a model on the hub" in unknown.stderr

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(workdir / "hf" / "hub"))
    assert describe_weights_file("someone/else") is None
    file = describe_weights_file(MODEL)
    assert (file["name"], file["revision"]) == ("model.safetensors", COMMIT)
    content = (small_gpt2 / "model.safetensors").read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()

    cached = run_pca(workdir, server.url)
    assert cached.returncode == 0, cached.stderr
    assert (workdir / "wte_pca_500.pt").read_bytes() == words

    with serve_model(small_gpt2, "breaks off") as server:
        unreachable = run_pca(workdir, server.url, "gpt2")
    # the libraries' own retries take most of a minute
    assert 0 < sum(server.requests.values()) < 5
    assert unreachable.returncode == 2
    assert unreachable.stderr.count("\n") == 1
    assert "--llm_weights random" in unreachable.stderr
