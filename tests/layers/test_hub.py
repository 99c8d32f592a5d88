"""Loading by hub id, from a server on this machine that speaks as the hub does."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants

from layers.model_files import describe_weights_file
from tests.conftest import ROOT

COMMIT = "0" * 40
MODEL = "someone/small-gpt2"


class Hub(BaseHTTPRequestHandler):
    """Serves one model from a folder."""

    folder = None

    def do_GET(self):
        self.answer(with_body=True)

    def do_HEAD(self):
        self.answer(with_body=False)

    def answer(self, with_body: bool):
        start = f"/{MODEL}/resolve/"
        if self.path.startswith(f"/api/models/{MODEL}"):
            body = b'{"id": "%s", "sha": "%s", "siblings": []}' % (MODEL.encode(), COMMIT.encode())
        elif self.path.startswith(start) and (self.folder / self.path.rpartition("/")[2]).is_file():
            body = (self.folder / self.path.rpartition("/")[2]).read_bytes()
        else:
            self.send_response(404)
            known = MODEL in self.path
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Gone(BaseHTTPRequestHandler):
    """Breaks off each connection."""

    connections = 0

    def handle(self):
        Gone.connections += 1


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


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
    monkeypatch.setattr(Hub, "folder", small_gpt2)
    with serve(Hub) as address:
        done = run_pca(workdir, address)
        unknown = run_pca(workdir, address, "someone/else")
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

    cached = run_pca(workdir, address)
    assert cached.returncode == 0, cached.stderr
    assert (workdir / "wte_pca_500.pt").read_bytes() == words

    with serve(Gone) as address:
        unreachable = run_pca(workdir, address, "gpt2")
    assert 0 < Gone.connections < 5  # the libraries' own retries take most of a minute
    assert unreachable.returncode == 2
    assert unreachable.stderr.count("\n") == 1
    assert "--llm_weights random" in unreachable.stderr
