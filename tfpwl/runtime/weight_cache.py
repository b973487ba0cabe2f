"""XNNPACK's packed weights in files, so that the next process maps them instead of packing again.

A file is used only if it is ours (owner, no link, nobody else may write it) and its SHA-256 is the one noted when it
was written; anything else is thrown away and made again. Its name carries the model's SHA-256, the runtime's version
and the processor's features, for XNNPACK packs differently for each.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tfpwl.errors import EngineError, TfpwlError
from tfpwl.runtime.background import Worker, process_ends

_LOGGER = logging.getLogger(__name__)

SUFFIX = ".xnnpack"
_SUM_SUFFIX = ".sha256"
# Makes the packed weights of a model at a path; what it raises is logged.
Build = Callable[[Path], None]


class WeightCache:
    """A folder of packed weights.

    Args:
        folder: made if it is missing, for this user alone.
        version: of the runtime.

    Raises:
        EngineError: the folder cannot be made, is another user's, or has a name that cannot be passed on.
    """

    def __init__(self, folder: str | os.PathLike[str], version: str) -> None:
        self._folder = Path(os.path.abspath(folder))
        if any(letter in str(self._folder) for letter in '"\\\n\r'):
            raise EngineError(f"Received cache_dir={str(self._folder)!r}; quotes, backslashes and line ends cannot be.")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._folder.lstat()
        except OSError as exc:
            raise EngineError(f"Cannot make the cache_dir {self._folder}: {exc.strerror or exc}.") from exc
        if not _is_ours(status) or not stat.S_ISDIR(status.st_mode):
            raise EngineError(f"{self._folder} is not a folder that only this user may write; give another cache_dir.")
        self._tail = f"{version}-{_processor_sum()}{SUFFIX}"
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Build]] = deque()
        self._worker: Worker | None = None

    def path(self, sha256: str) -> Path:
        """Where the packed weights of a model are, or would be."""
        return self._folder / f"{sha256}-{self._tail}"

    def find(self, sha256: str) -> Path | None:
        """The packed weights of a model, checked; None where there are none that can be trusted."""
        path = self.path(sha256)
        if not os.path.lexists(path):
            return None
        note = path.with_name(path.name + _SUM_SUFFIX)
        try:
            if _is_ours(path.lstat()) and _sum_of(path) == note.read_text(encoding="utf-8"):
                return path
            reason = "it is not what was written"
        except (OSError, UnicodeDecodeError) as exc:
            reason = str(exc)
        _LOGGER.warning("Threw away the packed weights %s: %s", path, reason)
        self.discard(sha256)
        return None

    def discard(self, sha256: str) -> None:
        """Remove the packed weights of a model."""
        path = self.path(sha256)
        for each in (path, path.with_name(path.name + _SUM_SUFFIX)):
            with suppress(OSError):
                each.unlink(missing_ok=True)

    def request(self, sha256: str, build: Build) -> None:
        """Make the packed weights of a model in the background."""
        with self._lock:
            self._waiting.append((sha256, build))
            if self._worker is not None:
                return
            self._worker = Worker(self._work, "tfpwl-cache", is_low=True)
            try:
                self._worker.start()
            except RuntimeError:
                # The process ends; the next one will pack again.
                self._worker = None
                self._waiting.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until what was asked for is there; False when the time was over first."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)
        return worker is None or not worker.is_alive()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or process_ends():
                    self._waiting.clear()
                    self._worker = None
                    return
                sha256, build = self._waiting.popleft()
            if not os.path.lexists(self.path(sha256)):
                self._make(sha256, build)

    def _make(self, sha256: str, build: Build) -> None:
        path = self.path(sha256)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        note = path.with_name(path.name + _SUM_SUFFIX)
        try:
            temporary.unlink(missing_ok=True)
            build(temporary)
            temporary.chmod(0o600)
            note.write_text(_sum_of(temporary), encoding="utf-8")
            os.replace(temporary, path)
        except (OSError, TfpwlError, MemoryError) as exc:
            _LOGGER.warning("Cannot keep packed weights in %s: %s", self._folder, exc)
            self.discard(sha256)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_ours(status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _processor_sum() -> str:
    """What XNNPACK looks at when it chooses how to pack, in 12 hexadecimal digits."""
    facts = {platform.machine(), platform.processor()}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.split(":")[0].strip() in ("flags", "Features", "model name", "CPU part"):
                facts.add(line)
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()[:12]
