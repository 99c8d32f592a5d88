"""Loading by hub id, from a server on this machine that speaks as the hub does."""

import hashlib

import pytest

from layers.model_files import describe_weights_file
from pca import main
from tests.datasets.hub_server import COMMIT, MODEL, serve_model, use_hub


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
