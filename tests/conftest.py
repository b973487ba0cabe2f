"""Fixtures that several test packages share: a tiny untrained bundle, converted once per session."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tfpwl.bundle import Bundle, FileEntry, Preprocess, Producer, update_manifest, write_bundle

# A shell ignores Ctrl-C for what it starts in the background, and so would each program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SCRIPT = Path(__file__).with_name("tiny_files.py")


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Everything that ``tiny_files.py`` writes, by stem."""
    base = tmp_path_factory.getbasetemp()
    # With pytest-xdist the workers' folders are siblings; the first worker converts for all.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny_files"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True, text=True)
            (folder / "done").touch()
    return {path.name.removesuffix(".tflite"): path.read_bytes() for path in sorted(folder.glob("*.tflite"))}


@pytest.fixture(scope="session")
def tiny_files(converted: dict[str, bytes]) -> dict[str, bytes]:
    """.tflite bytes by stem: three groups, input (1, 6, 6, 1), 4 classes, other widths on both sides."""
    return {stem: data for stem, data in converted.items() if not stem.startswith(("bad.", "whole."))}


@pytest.fixture(scope="session")
def tiny_whole(converted: dict[str, bytes]) -> dict[str, bytes]:
    """The sides of ``tiny_files`` in one piece: ``student`` and ``teacher``."""
    return {stem.removeprefix("whole."): data for stem, data in converted.items() if stem.startswith("whole.")}


@pytest.fixture(scope="session")
def bad_files(converted: dict[str, bytes]) -> dict[str, bytes]:
    """Stand-ins for ``g2.student`` that break a contract: ``free_batch`` and ``nan``."""
    return {stem.removeprefix("bad."): data for stem, data in converted.items() if stem.startswith("bad.")}


@pytest.fixture(scope="session")
def tiny_fields() -> dict[str, object]:
    """The arguments of ``write_bundle`` beside folder and files."""
    return {
        "name": "tiny",
        "precision": "fp32",
        "producer": Producer("0.1.0", "2.21.0", "0" * 64),
        "preprocess": Preprocess(1 / 16, (0.0,), (1.0,)),
        "labels": ["ant", "bee", "cat", "dog"],
    }


@pytest.fixture
def tiny_bundle(tmp_path: Path, tiny_files: dict[str, bytes], tiny_fields: dict[str, object]) -> Bundle:
    """A bundle of its own for each test, which may break it."""
    return write_bundle(tmp_path / "tiny", files=tiny_files, **tiny_fields)


def _smuggle(bundle: Bundle, group: int, side: str, data: bytes) -> Bundle:
    name = f"g{group}.{side}.tflite"
    (bundle.root / name).write_bytes(data)
    groups = list(bundle.manifest.groups)
    groups[group] = replace(groups[group], **{side: FileEntry(name, len(data), hashlib.sha256(data).hexdigest())})
    return update_manifest(bundle, groups=tuple(groups))


@pytest.fixture
def smuggle() -> Callable[[Bundle, int, str, bytes], Bundle]:
    """Puts bytes in place of a group's file with sums that fit: a bundle that the writer would refuse."""
    return _smuggle
