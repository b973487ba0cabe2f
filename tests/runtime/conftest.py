from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tfpwl.runtime import LoadedGroup, Runner, make_engine
from tfpwl.runtime.engines import ENGINE_NAMES


class GatedEngine:
    """A real engine, whose loads can be held up, made to fail, and counted.

    ``open_groups`` counts groups that were loaded and not closed.
    """

    def __init__(self, name: str) -> None:
        self.inner = make_engine(name)
        self.name = name
        self.tflite_level = self.inner.tflite_level
        # Re-entrant: the collector may close a group while this thread counts another one.
        self.lock = threading.RLock()
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.failure: BaseException | None = None
        self.open_groups = 0
        self.loads = 0

    def connect(self, groups: Sequence[LoadedGroup]) -> Runner:
        return self.inner.connect(groups)

    def load(self, model: bytes, *, threads: int = 1, sha256: str | None = None) -> LoadedGroup:
        if not self.gate.is_set():
            self.waiting.set()
            # Longer than any test; a test that forgets to open the gate fails and does not hang.
            if not self.gate.wait(60):
                raise TimeoutError("the gate stayed shut")
        if self.failure is not None:
            raise self.failure
        group = self.inner.load(model, threads=threads, sha256=sha256)
        with self.lock:
            self.open_groups += 1
            self.loads += 1
        close = group.close

        def counted() -> None:
            with self.lock:
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


@pytest.fixture(params=ENGINE_NAMES)
def engine(request: pytest.FixtureRequest) -> GatedEngine:
    return GatedEngine(request.param)


@pytest.fixture
def signing_key() -> tuple[bytes, bytes]:
    """The PEM of a private key and the raw public one, as an app carries it."""
    key = ed25519.Ed25519PrivateKey.generate()
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*encodings), key.public_key().public_bytes_raw()
