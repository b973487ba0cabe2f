from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tfpwl.runtime import InterpreterEngine, LoadedGroup


class GatedEngine(InterpreterEngine):
    """The real engine, whose loads can be held up, made to fail, and counted.

    ``open_groups`` counts groups that were loaded and not closed.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.failure: BaseException | None = None
        self.open_groups = 0
        self.loads = 0

    def load(self, model: bytes, *, threads: int = 1) -> LoadedGroup:
        if not self.gate.is_set():
            self.waiting.set()
            # Longer than any test; a test that forgets to open the gate fails and does not hang.
            if not self.gate.wait(60):
                raise TimeoutError("the gate stayed shut")
        if self.failure is not None:
            raise self.failure
        group = super().load(model, threads=threads)
        self.open_groups += 1
        self.loads += 1
        close = group.close

        def counted() -> None:
            self.open_groups -= 1
            close()

        group.close = counted
        return group

    @contextmanager
    def held(self) -> Iterator[None]:
        """Loads wait until the block ends."""
        self.waiting.clear()
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()
