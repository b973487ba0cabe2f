"""Standard output whose reader may go away: what is left to say goes nowhere, and the exit code stays the verdict."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Descriptor(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


@contextmanager
def outliving_its_reader() -> Iterator[None]:
    """For a ``with`` statement around a command: ``tfpwl diff A B | head -1`` ends with the code of ``tfpwl diff``.

    click and rich make a ``SystemExit(1)`` of a broken pipe, and 1 is our code for a check that failed.
    """
    stdout = sys.stdout
    if stdout is not sys.__stdout__ or not isinstance(stdout, io.TextIOWrapper):  # a test's, or none at all
        yield
        return
    stdout.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stdout.fileno(), "wb", closefd=False)),
        encoding=stdout.encoding, errors=stdout.errors, line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )  # fmt: skip
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = stdout
