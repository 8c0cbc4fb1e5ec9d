"""A server on 127.0.0.1 that serves bytes and files as it is told, well or badly, and remembers what it was asked."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Content = "bytes | Path"


class File:
    """One path of the server. What it does wrong is named; without anything it keeps to RFC 9110."""

    def __init__(
        self, content: bytes | Path, *, etag: str | None = '"v1"', ranges: bool = True, suffix: bool = True, accept: bool = False, status: int = 0,
        location: str = "", wrong: str = "", chunked: bool = False, login: str | None = None, ignores_pin: bool = False, after: int = 0,
    ) -> None:  # fmt: skip
        self.content, self.etag, self.ranges, self.suffix, self.accept = content, etag, ranges, suffix, accept
        self.status, self.location, self.wrong, self.chunked, self.login = status, location, wrong, chunked, login
        self.ignores_pin = ignores_pin
        self.after = after  # how many answers are well before `wrong` begins
        self.answers = 0

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[start:end]
        with self.content.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


class Asked:
    """One request."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        self.path, self.headers = path, headers

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, File], tls: ssl.SSLContext | None = None) -> None:
        self.files, self.asked, self.sent, self.lock = files, [], 0, threading.Lock()
        self.asked: list[Asked]
        super().__init__(("127.0.0.1", 0), Handler)
        self.secure = tls is not None
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def url(self, path: str, *, login: str = "", host: str = "127.0.0.1") -> str:
        return f"{'https' if self.secure else 'http'}://{login}{host}:{self.server_address[1]}{path}"

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """To nobody."""

    def do_GET(self) -> None:
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        with self.server.lock:
            self.server.asked.append(asked)
            file = self.server.files.get(self.path.partition("?")[0])
            if file is not None:
                file.answers += 1
        if file is None:
            self._head(404, {"Content-Length": "0"})
            return
        wrong = file.wrong if file.answers > file.after else ""
        if file.login is not None and asked.headers.get("authorization") != file.login:
            self._head(401, {"Content-Length": "0"})
        elif file.status:
            self._head(file.status, {"Content-Length": "0", **({"Location": file.location} if file.location else {})})
        else:
            self._file(file, asked, wrong)

    def _file(self, file: File, asked: Asked, wrong: str) -> None:
        size, etag = file.size, '"v2"' if wrong == "changed" else file.etag
        headers = {"ETag": etag} if etag else {}
        pin = asked.headers.get("if-match")
        if pin is not None and pin != etag and not file.ignores_pin:
            self._head(412, {"Content-Length": "0"})
            return
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.range or "")
        if match is None or not file.ranges or wrong == "forgets ranges" or (not match[1] and not file.suffix and file.accept):
            more = {"Accept-Ranges": "bytes"} if file.accept else {}
            self._send(file, 200, {**headers, **more}, 0, size, wrong)
        elif not match[1] and not file.suffix:
            self._head(416, {**headers, "Content-Length": "0", "Content-Range": f"bytes */{size}"})
        elif not size:
            self._head(416, {"Content-Length": "0", "Content-Range": "bytes */0"})
        else:
            start = int(match[1]) if match[1] else max(size - int(match[2]), 0)
            end = min(int(match[2]) + 1, size) if match[1] and match[2] else size
            if wrong == "another range":
                start, end = start + 1, end
            total = size + 1 if wrong == "another total" else size
            named = f"bytes {start}-{end - 1}/{total}"
            if wrong == "range without numbers":
                named = "bytes */*"
            elif wrong == "range backwards":
                named = f"bytes {end}-{start}/{total}"
            self._send(file, 206, {**headers, **({} if wrong == "range missing" else {"Content-Range": named})}, start, end, wrong)

    def _send(self, file: File, status: int, headers: dict[str, str], start: int, end: int, wrong: str) -> None:
        length = end - start
        if wrong == "encoding":
            headers["Content-Encoding"] = "gzip"
        elif wrong == "multipart":
            headers["Content-Type"] = "multipart/byteranges; boundary=x"
        chunked = file.chunked or wrong in ("more", "more chunks")
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif wrong != "no length":
            announced = {"longer length": length + 10, "shorter length": length - 10, "length that is none": "12x"}.get(wrong, length)
            headers["Content-Length"] = str(announced)
        self._head(status, headers)
        if wrong == "hangs":
            time.sleep(60)
        if wrong == "cut":
            self._body(file.read(start, start + length // 2), chunked=False)
            self.close_connection = True
            return
        if wrong == "drips":
            for byte in file.read(start, end):
                self._body(bytes([byte]), chunked=False)
                time.sleep(0.05)
            return
        for at in range(start, end, 1 << 16):
            self._body(file.read(at, min(at + (1 << 16), end)), chunked=chunked)
        if wrong in ("more", "more chunks"):
            self._body(b"x" * 100, chunked=True)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        if wrong == "no length":
            self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, data: bytes, *, chunked: bool) -> None:
        with self.server.lock:  # before the client can have it, and end, and be compared with
            self.server.sent += len(data)
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        self.wfile.flush()


@contextmanager
def serving(files: dict[str, File], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for as long as the block takes."""
    server = Server(files, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
