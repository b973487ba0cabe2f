from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from adbd.fixtures import adb_port, connect  # noqa: F401 - fixtures
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tfpwl.bundle import Bundle
from tfpwl.cli.main import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def tfpwl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in this process: ``tfpwl("inspect", path)``."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def labelled() -> tuple[np.ndarray, np.ndarray]:
    """40 raw images for the tiny bundle, and labels that are noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 17, (40, 6, 6, 1), np.uint8), rng.integers(0, 4, 40)


@pytest.fixture
def npz(tmp_path: Path, labelled: tuple[np.ndarray, np.ndarray]) -> Path:
    """Those images as a file with ``x`` and ``y``."""
    path = tmp_path / "test.npz"
    np.savez(path, x=labelled[0], y=labelled[1])
    return path


def _flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def flip_byte() -> Callable[[Path], None]:
    """Changes one byte in the middle of a file."""
    return _flip_byte


@pytest.fixture
def root(tiny_bundle: Bundle) -> Path:
    """The folder of the tiny bundle."""
    return tiny_bundle.root


@pytest.fixture
def key_files(tmp_path: Path) -> tuple[Path, Path]:
    """PEM files of an Ed25519 key and its public half."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public
