"""A hub on the loopback: what `huggingface_hub` asks for when it downloads a file or a repository, answered from a dict."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(files: dict[str, bytes], repository: str = "org/model") -> Iterator[str]:
    """Its address, while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, body: bytes, kind: str, **headers: str) -> None:
            self.send_response(200)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            name = path.removeprefix(f"/{repository}/resolve/").partition("/")[2]
            if path.startswith(f"/{repository}/resolve/") and name in files:
                digest = hashlib.sha256(files[name]).hexdigest()
                self._answer(files[name], "application/octet-stream", ETag=f'"{digest}"', X_Repo_Commit=COMMIT)
            elif path.startswith(f"/api/models/{repository}/tree/"):
                entries = [{"type": "file", "oid": hashlib.sha256(data).hexdigest(), "size": len(data), "path": each} for each, data in files.items()]
                self._answer(json.dumps(entries).encode(), "application/json")
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": each, "size": len(data)} for each, data in files.items()]
                answer = {"id": repository, "modelId": repository, "sha": COMMIT, "private": False, "downloads": 0, "likes": 0, "tags": []}
                self._answer(json.dumps({**answer, "siblings": siblings}).encode(), "application/json")
            else:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
