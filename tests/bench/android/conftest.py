from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from adbd.fixtures import adb_port, connect  # noqa: F401 - fixtures
from tool_output import TIMINGS


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """A program for the phone: ``script("exec sleep 1000")``; by default it prints what benchmark_model prints."""

    def write(body: str = f"cat <<'END'\n{TIMINGS}END", name: str = "benchmark_model") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        return path

    return write
