"""A server on this machine that speaks as the hub does, for files of one data set or model."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = "thuml/Time-Series-Library"  # of data sets
MODEL = "someone/small-gpt2"
COMMIT = "1" * 40


class Server(ThreadingHTTPServer):
    """Serves `files`, contents by path, in the manner `fault`.

    Faults: `breaks once` after half of a file and resumes; `breaks`, and never resumes; `too long`
    and `too short` are lies about the length of the body, and `wrong head` is one of HEAD alone;
    `refuses`; `hangs`; `breaks off` each connection.

    Attributes:
        requests: how many there were, by method and path. ranges: what was asked to resume.
    """

    def __init__(self, files: dict[str, bytes], fault: str = "", is_model: bool = False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository = MODEL if is_model else f"datasets/{REPOSITORY}"
        self.described = f"/api/models/{MODEL}" if is_model else f"/api/datasets/{REPOSITORY}"
        self.files, self.fault = files, fault
        self.etags = {path: hashlib.sha256(body).hexdigest() for path, body in files.items()}
        self.requests: Counter = Counter()
        self.ranges: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.answer(is_head=True)

    def do_GET(self):
        self.answer(is_head=False)

    def answer(self, is_head: bool):
        server, fault = self.server, self.server.fault
        server.requests[self.command, self.path] += 1
        place = self.path.removeprefix(f"/{server.repository}/resolve/").partition("/")[2]
        if fault == "breaks off":
            self.close_connection = True
            return None
        if fault == "hangs":
            server.released.wait()
            return None
        if fault == "refuses":
            return self.send(503, b"", {})
        if self.path.startswith(server.described):
            siblings = [{"rfilename": path} for path in server.files]
            tree = [
                {"type": "file", "path": path, "oid": "2" * 40, "size": len(body)}
                for path, body in server.files.items()
            ]
            described = {"id": server.repository, "sha": COMMIT, "siblings": siblings}
            body = json.dumps(tree if "/tree/" in self.path else described).encode()
            return self.send(200, body, {"Content-Type": "application/json"})
        if place not in server.files:
            known = server.repository in self.path
            code = "EntryNotFound" if known else "RepoNotFound"
            return self.send(404, b"", {"X-Error-Code": code, "X-Repo-Commit": COMMIT})
        body = server.files[place]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{server.etags[place]}"'}
        if is_head:
            lie = {"wrong head": 9, "too short": -9}.get(fault, 0)
            return self.send(200, b"", headers | {"Content-Length": str(len(body) + lie)})
        asked = self.headers.get("Range")
        if asked:
            server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if fault == "breaks once":
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                return self.send(206, body[start:], headers)
            if fault == "too long":
                return self.send(416, b"", {})
        sent = body[: len(body) // 2] if fault.startswith("breaks") else body
        length = len(body) + {"too long": 9, "too short": -9}.get(fault, 0)
        return self.send(200, sent, headers | {"Content-Length": str(length)})

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
        server.released.set()
        server.shutdown()
        server.server_close()


def serve_model(folder: Path, fault: str = ""):
    """Serve the files of a folder as those of `MODEL`."""
    return serve({path.name: path.read_bytes() for path in folder.iterdir()}, fault, is_model=True)
