"""Keeps the log lines of native libraries (TensorFlow, XNNPACK) off the terminal, and at hand for a crash."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from types import TracebackType

_TAIL_BYTES = 4000


class NativeLog:
    """While active, file descriptor 2 goes into a temporary file and ``sys.stderr`` stays on the terminal.

    TensorFlow writes a dozen lines from C++ at import, before any of its log levels apply; a progress bar in between
    them cannot be read. Child processes inherit the descriptor, so their lines go the same way.

    Args:
        enabled: False changes nothing.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled and _has_descriptor(sys.stderr)

    def __enter__(self) -> NativeLog:
        if self._enabled:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            self._file = tempfile.TemporaryFile()
            self._python_stderr = sys.stderr
            self._terminal = os.dup(2)
            sys.stderr.flush()
            os.dup2(self._file.fileno(), 2)
            sys.stderr = io.TextIOWrapper(
                os.fdopen(os.dup(self._terminal), "wb", 0), encoding="utf-8", errors="replace", write_through=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            os.dup2(self._terminal, 2)
            os.close(self._terminal)
            sys.stderr = self._python_stderr

    def tail(self) -> str:
        """The last lines that native code has written."""
        if not self._enabled:
            return ""
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(errors="replace")


def _has_descriptor(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
