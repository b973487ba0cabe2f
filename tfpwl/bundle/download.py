"""Files over HTTP(S), checked while they stream: resumed, tried again, and never larger than was promised.

Only :mod:`tfpwl.bundle.pulling` imports this module, and when it is called: urllib takes 0.05 s to import.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import tfpwl
from tfpwl.bundle.entries import FileEntry
from tfpwl.bundle.store import MANIFEST_NAME
from tfpwl.errors import IntegrityError, PullError

_CHUNK_BYTES = 1 << 16
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class _TransientError(Exception):
    """What may go better next time; ``pause`` in seconds is what the server asks for."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class _MissingError(Exception):
    """The server has no such file."""


class _RangeError(Exception):
    """The server has nothing behind the byte that was asked for."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the base class's signature
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise PullError(f"{req.full_url} redirects to {newurl}; expected HTTPS after HTTPS, HTTP(S) after HTTP.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True, slots=True)
class Remote:
    """The folder of a bundle on a server.

    Args:
        url: of the folder, or of its ``manifest.json``; what follows a ``?`` goes with every request.
        timeout: seconds without a byte after which a connection counts as dead.
        retries: how often a request is tried again in vain; bytes that arrive start the count anew.
    """

    url: str
    timeout: float
    retries: int

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise PullError(f"Received the URL {self.url!r}; expected http://… or https://… of a bundle's folder.")
        if parts.username is not None or parts.fragment:
            raise PullError(f"Received the URL {self.url!r}; one with a user's name or a '#' cannot be fetched.")

    def file_url(self, name: str) -> str:
        parts = urllib.parse.urlsplit(self.url)
        folder = parts.path.removesuffix(MANIFEST_NAME).rstrip("/")
        return urllib.parse.urlunsplit(parts._replace(path=f"{folder}/{urllib.parse.quote(name)}"))

    def get_small(self, name: str, *, limit: int) -> bytes | None:
        """A file of at most ``limit`` bytes, or None where the server has none (404, 410)."""
        url = self.file_url(name)

        def once() -> bytes | None:
            try:
                with self._open(url) as response:
                    data = _read(response, limit + 1)
                    while len(data) <= limit and (more := _read(response, limit + 1 - len(data))):
                        data += more
            except _MissingError:
                return None
            length = response.headers.get("Content-Length")
            if len(data) > limit:
                raise PullError(f"{url} has more than the {limit} bytes that {name} may have.")
            if length is not None and length.isdigit() and int(length) != len(data):
                raise _TransientError(f"the connection ended after {len(data)} of {length} bytes")
            return data

        return self._try(url, once)

    def get_file(self, entry: FileEntry, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Fetch a file into ``part``, going on behind what is there; its sum is right when this returns.

        Args:
            entry: name, size and sum that the manifest promises.
            part: where the bytes go; it stays when the connection fails for good.
            on_bytes: told how many bytes of the file are there.

        Raises:
            IntegrityError: the server's file is another than the manifest says; ``part`` is removed.
            PullError: the server has no such file or does not answer.
        """
        url = self.file_url(entry.file)
        if part.exists() and not self._fetch(url, entry, part, on_bytes):
            # The first bytes may be of an older file, or of a disk that lost them: once more from the start.
            on_bytes(0)
        if not part.exists() and not self._fetch(url, entry, part, on_bytes):
            raise IntegrityError(
                f"{url}: the content has another SHA-256 than the manifest expects ({entry.sha256}). "
                "The server's bundle is damaged or is being replaced; try again later."
            )

    def _fetch(self, url: str, entry: FileEntry, part: Path, on_bytes: Callable[[int], None]) -> bool:
        """Whether ``part`` is whole and right now; a wrong one is removed."""
        if part.is_symlink() or (part.exists() and not part.is_file()):
            raise PullError(f"{part} is no plain file; delete it.")
        with open(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644), "r+b") as file:
            transfer = _Transfer(self, url, entry, file, on_bytes)
            transfer.take_what_is_there()
            try:
                self._try(url, transfer.once, progress=lambda: transfer.done)
            except _MissingError as exc:
                raise PullError(f"{url}: {exc}, although the manifest names it.") from exc
            os.fsync(file.fileno())
            right = transfer.digest.hexdigest() == entry.sha256
        if not right:
            part.unlink()
        return right

    def _try(self, url: str, once: Callable[[], Any], progress: Callable[[], int] = lambda: 0) -> Any:
        failures, reached = 0, progress()
        while True:
            try:
                return once()
            except _TransientError as exc:
                failures, reached = (1, progress()) if progress() > reached else (failures + 1, reached)
                if failures > self.retries:
                    raise PullError(f"{url}: {exc}; gave up after {failures} tries. Try again later.") from exc
                # A part of it by chance, so that a thousand phones do not come back in the same second.
                pause = _FIRST_PAUSE_S * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
                time.sleep(min(_MAX_PAUSE_S, max(pause, exc.pause)))

    def _open(self, url: str, start: int = 0) -> Any:
        headers = {"User-Agent": f"tfpwl/{tfpwl.__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            response = _opener().open(urllib.request.Request(url, headers=headers), timeout=self.timeout)
        except urllib.error.HTTPError as exc:
            with exc:
                _raise_for_status(url, exc, start)
        except (OSError, http.client.HTTPException) as exc:
            _raise_for_network(url, exc)
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            response.close()
            raise PullError(f"{url}: the server sends {coding} although it was asked for the file as it is.")
        return response


class _Transfer:
    """One file on its way: what is there of it, and its sum so far."""

    def __init__(
        self, remote: Remote, url: str, entry: FileEntry, file: IO[bytes], on_bytes: Callable[[int], None]
    ) -> None:
        self._remote, self._url, self._entry, self._file, self._on_bytes = remote, url, entry, file, on_bytes
        self.done = 0
        self.digest = hashlib.sha256()

    def take_what_is_there(self) -> None:
        while chunk := self._file.read(_CHUNK_BYTES):
            self._count(chunk)
            if self.done > self._entry.bytes:
                self._start_over()
                break

    def once(self) -> None:
        if self.done == self._entry.bytes:
            return
        try:
            opened = self._remote._open(self._url, self.done)
        except _RangeError as exc:
            self._start_over()
            raise _TransientError("the server has nothing behind the bytes that are here") from exc
        with opened as response:
            if self.done and not self._goes_on(response):
                self._start_over()
            self._check_length(response)
            while chunk := _read(response, min(_CHUNK_BYTES, self._entry.bytes - self.done + 1)):
                if self.done + len(chunk) > self._entry.bytes:
                    self._start_over()
                    raise IntegrityError(f"{self._url} has more than the {self._entry.bytes} bytes of the manifest.")
                self._file.write(chunk)
                self._count(chunk)
        self._file.flush()
        if self.done < self._entry.bytes:
            raise _TransientError(f"the connection ended after {self.done} of {self._entry.bytes} bytes")

    def _goes_on(self, response: Any) -> bool:
        """Whether the server sends the rest; without Range it sends the whole file."""
        if response.status != http.client.PARTIAL_CONTENT:
            return False
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self.done:
            # Neither the rest nor the whole: ask without a range.
            self._start_over()
            raise _TransientError("the server sent another range than it was asked for")
        return True

    def _check_length(self, response: Any) -> None:
        length = response.headers.get("Content-Length", "")
        expected = self._entry.bytes - self.done
        if length.isdigit() and int(length) != expected:
            self._start_over()
            raise IntegrityError(
                f"{self._url} announces {length} bytes; the manifest leaves {expected}. "
                "The server's bundle is damaged or is being replaced; try again later."
            )

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.done, self.digest = 0, hashlib.sha256()
        self._on_bytes(0)

    def _count(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.done += len(chunk)
        self._on_bytes(self.done)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS through the proxies of the environment, and nothing else: urllib would open file: and ftp:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SafeRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def _read(response: Any, size: int) -> bytes:
    # read1: as much as has arrived, so that progress is seen on a slow line.
    try:
        data: bytes = response.read1(size)
    except (OSError, http.client.HTTPException) as exc:
        raise _TransientError(_reason(exc)) from exc
    return data


def _raise_for_status(url: str, error: urllib.error.HTTPError, start: int) -> NoReturn:
    if error.code in (404, 410):
        raise _MissingError(f"the server has no such file (HTTP {error.code})") from error
    if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise _RangeError from error
    if error.code in _RETRIED:
        after = error.headers.get("Retry-After", "")
        pause = min(_MAX_PAUSE_S, int(after)) if re.fullmatch("[0-9]{1,6}", after) else 0.0
        raise _TransientError(f"the server answers HTTP {error.code}", pause) from error
    raise PullError(f"{url}: the server answers HTTP {error.code} {error.reason}.") from error


def _raise_for_network(url: str, error: OSError | http.client.HTTPException) -> NoReturn:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise PullError(f"{url}: the server's certificate is not trusted: {reason.verify_message}.") from error
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        raise PullError(f"{url}: there is no server of this name ({reason.strerror}).") from error
    if isinstance(reason, http.client.InvalidURL):
        raise PullError(f"{url}: {reason}.") from error
    raise _TransientError(_reason(reason)) from error


def _reason(exc: object) -> str:
    if isinstance(exc, TimeoutError):
        return "no byte arrived in time"
    return str(exc) or type(exc).__name__
