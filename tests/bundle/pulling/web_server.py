"""A web server for tests of ``pull``: Range requests, a log, and faults on demand. Real sockets, real HTTP."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["Handler", bytes], bool]


class WebServer(ThreadingHTTPServer):
    """Serves ``files`` (bytes by name) under ``/bundle/`` on 127.0.0.1.

    ``faults[name]`` is a list: each request for the name takes the first one and lets it answer, until none is left.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.faults: dict[str, list[Fault]] = {}
        self.ranges = True
        self.log: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        self.tls = certificate is not None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_port}/bundle"

    def requested(self) -> list[str]:
        return [name for name, _ in self.log]

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave in the middle are what is tested."""


class Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/bundle/")
        self.server.log.append((name, self.headers.get("Range")))
        data = self.server.files.get(name)
        faults = self.server.faults.get(name, [])
        if faults and faults.pop(0)(self, data or b""):
            return
        if data is None:
            self.send_error(404)
            return
        self.answer(data)

    def answer(self, data: bytes, *, cut: int | None = None) -> None:
        """Send ``data`` or the range of it that was asked for; with ``cut`` only its first bytes."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.server.ranges:
            start = int(asked[1])
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            data = data[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:cut])

    def log_message(self, *_: object) -> None:
        """Tests read ``log``."""


def cut(after: int) -> Fault:
    """The connection ends after so many bytes."""

    def fault(handler: Handler, data: bytes) -> bool:
        handler.answer(data, cut=after)
        return True

    return fault


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler, data: bytes) -> bool:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        return True

    return fault


def instead(other: bytes) -> Fault:
    """Other bytes, served as if they were the file."""

    def fault(handler: Handler, data: bytes) -> bool:
        handler.answer(other)
        return True

    return fault


def endless(handler: Handler, data: bytes) -> bool:
    """The file and then more and more, without saying how much."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(data)
    for _ in range(1000):
        handler.wfile.write(b"x" * 10_000)
    return True


def silent(handler: Handler, data: bytes) -> bool:
    """Headers, then nothing until the server closes."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.server.closing.wait(60)
    return True


def wrong_range(handler: Handler, data: bytes) -> bool:
    """Another part than the one that was asked for."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 1-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - 1))
    handler.end_headers()
    handler.wfile.write(data[1:])
    return True


def compressed(handler: Handler, data: bytes) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", "3")
    handler.end_headers()
    handler.wfile.write(b"abc")
    return True
