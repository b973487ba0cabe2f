"""Fixtures for tests with the real adb client; a conftest.py imports them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from adbd.device import Device, Profile


@pytest.fixture(scope="session")
def adb_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adb server of this session alone, so that nobody's phones and server are touched."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (Debian: apt-get install adb)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    home = tmp_path_factory.mktemp("adb")
    # It writes its key below HOME and its log into TMPDIR.
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    subprocess.run(["adb", "-P", port, "start-server"], env=environment, check=True, capture_output=True)
    yield port
    subprocess.run(["adb", "-P", port, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def connect(adb_port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Device]]:
    """Starts emulated phones and connects adb to them: ``connect(Profile(...))``."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_port)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    with ExitStack() as devices:

        def start(profile: Profile | None = None, *, mounts: bool | None = None) -> Device:
            root = tmp_path / f"phone{len(list(tmp_path.glob('phone*')))}"
            device = devices.enter_context(Device(root, profile or Profile(), mounts=mounts))
            subprocess.run(["adb", "connect", device.serial], check=True, capture_output=True)
            devices.callback(subprocess.run, ["adb", "disconnect", device.serial], check=False, capture_output=True)
            return device

        yield start
