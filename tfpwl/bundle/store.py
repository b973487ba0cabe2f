"""Where a bundle's bytes are: a folder here, a pack in :mod:`tfpwl.bundle.archive`; both behind one protocol."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from tfpwl.errors import IntegrityError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
# In a folder that `tfpwl pull` has begun and not finished: files beyond the student may be missing.
PULLING_NAME = ".pulling"
EXPORT_AGAIN = "Copy the bundle again or export it again."
# O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Store(Protocol):
    """The files of a bundle by name; nothing here looks at sums. All methods raise IntegrityError."""

    def names(self) -> tuple[str, ...]:
        """Everything that is there, sorted."""
        ...

    def has(self, name: str) -> bool: ...

    def check_size(self, name: str, expected: int) -> None:
        """Check, without reading it, that a file is there and has ``expected`` bytes."""
        ...

    def read(self, name: str, *, limit: int, exact: bool = False) -> bytes:
        """A private copy of a file of at most (with ``exact``: exactly) ``limit`` bytes."""
        ...

    def view(self, name: str, size: int) -> memoryview:
        """A file's bytes, in place where the store can; read-only."""
        ...


class FolderStore:
    """Plain files in a folder; links, pipes and folders are refused."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(self._root)))
        except OSError as exc:
            raise IntegrityError(f"{self._root}: {exc.strerror or exc}; the folder cannot be listed.") from exc

    def has(self, name: str) -> bool:
        return os.path.lexists(self._root / name)

    def check_size(self, name: str, expected: int) -> None:
        path = self._root / name
        try:
            status = path.lstat()
        except OSError as exc:
            reason = f"{exc.strerror or exc}; the manifest expects this file"
            raise IntegrityError(f"{path}: {reason}. {self._advice()}") from exc
        _check_status(path, status, expected)

    def read(self, name: str, *, limit: int, exact: bool = False) -> bytes:
        path, expected = self._root / name, limit if exact else None
        try:
            _check_status(path, path.lstat(), expected)
            with open(os.open(path, _OPEN_FLAGS), "rb") as file:
                _check_status(path, os.fstat(file.fileno()), expected)
                data = file.read(limit + 1)
        except OSError as exc:
            raise IntegrityError(f"{path}: {exc.strerror or exc}; it cannot be read. {self._advice()}") from exc
        if len(data) > limit or (exact and len(data) != limit):
            wanted = str(limit) if exact else f"at most {limit}"
            raise IntegrityError(f"{path}: gave {len(data)} bytes; expected {wanted}. {EXPORT_AGAIN}")
        return data

    def view(self, name: str, size: int) -> memoryview:
        return memoryview(self.read(name, limit=size, exact=True))

    def _advice(self) -> str:
        if self.has(PULLING_NAME):
            return "The bundle has not arrived as a whole; run `tfpwl pull` again."
        return EXPORT_AGAIN


def _check_status(path: Path, status: os.stat_result, expected: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "a folder" if stat.S_ISDIR(status.st_mode) else "special"
        raise IntegrityError(f"{path}: is {kind}; expected a plain file. {EXPORT_AGAIN}")
    if expected is not None and status.st_size != expected:
        raise IntegrityError(f"{path}: has {status.st_size} bytes; the manifest expects {expected}. {EXPORT_AGAIN}")
