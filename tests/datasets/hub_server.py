"""A server on this machine that speaks as the hub does, for files of one data set or model."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

REPOSITORY = "thuml/Time-Series-Library"  # of data sets
MODEL = "someone/small-gpt2"
COMMIT = "1" * 40
TEMPLATE = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)


class Server(ThreadingHTTPServer):
    """Serves `files`, contents by path; with a `fault` it `refuses` or `breaks off` connections.

    Attributes:
        requests: how many there were, by method and path.
    """

    def __init__(self, files: dict[str, bytes], fault: str = "", is_model: bool = False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository = MODEL if is_model else f"datasets/{REPOSITORY}"
        self.described = f"/api/models/{MODEL}" if is_model else f"/api/datasets/{REPOSITORY}"
        self.files, self.fault = files, fault
        self.etags = {path: hashlib.sha256(body).hexdigest() for path, body in files.items()}
        self.requests: Counter = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        server.requests[self.command, self.path] += 1
        place = self.path.removeprefix(f"/{server.repository}/resolve/").partition("/")[2]
        if server.fault == "breaks off":
            self.close_connection = True
        elif server.fault == "refuses":
            self.send(503, b"", {})
        elif self.path.startswith(server.described):
            siblings = [{"rfilename": path} for path in server.files]
            tree = [
                {"type": "file", "path": path, "oid": "2" * 40, "size": len(body)}
                for path, body in server.files.items()
            ]
            described = {"id": server.repository, "sha": COMMIT, "siblings": siblings}
            body = json.dumps(tree if "/tree/" in self.path else described).encode()
            self.send(200, body, {"Content-Type": "application/json"})
        elif place not in server.files:
            known = server.repository in self.path
            code = "EntryNotFound" if known else "RepoNotFound"
            self.send(404, b"", {"X-Error-Code": code, "X-Repo-Commit": COMMIT})
        else:
            body = server.files[place]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{server.etags[place]}"'}
            headers["Content-Length"] = str(len(body))
            self.send(200, b"" if self.command == "HEAD" else body, headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(files: dict[str, bytes], fault: str = "", is_model: bool = False) -> Iterator[Server]:
    """Run a server in a thread."""
    server = Server(files, fault, is_model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def use_hub(patch: pytest.MonkeyPatch, server: Server, cache: Path, offline: bool = False) -> None:
    """Let the libraries of this process use a server, as HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE
    would."""
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + TEMPLATE)
    patch.setattr(constants, "ENDPOINT", server.url)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", offline)


def serve_model(folder: Path, fault: str = ""):
    """Serve the files of a folder as those of `MODEL`."""
    return serve({path.name: path.read_bytes() for path in folder.iterdir()}, fault, is_model=True)
