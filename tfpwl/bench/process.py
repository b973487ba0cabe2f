"""What Linux tells about this process: memory, bytes read, open files, threads. None where it does not tell."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of this process at one moment, in bytes.

    Attributes:
        resident: memory that is there, pages of mapped files included.
        peak_resident: the most since the start or the last :func:`reset_peak`.
        anonymous: memory that is not backed by a file: what the system cannot take back but by killing.
        storage_read: fetched from the storage device, for read calls and page faults alike.
        calls_read: handed out by read calls, wherever it came from.
    """

    resident: int | None
    peak_resident: int | None
    anonymous: int | None
    storage_read: int | None
    calls_read: int | None


def footprint() -> Footprint:
    """What this process takes now."""
    status, rollup, io = (_fields(name) for name in ("status", "smaps_rollup", "io"))
    return Footprint(
        resident=_kilobytes(rollup.get("Rss") or status.get("VmRSS")),
        peak_resident=_kilobytes(status.get("VmHWM")),
        anonymous=_kilobytes(rollup.get("Anonymous") or status.get("RssAnon")),
        storage_read=_number(io.get("read_bytes")),
        calls_read=_number(io.get("rchar")),
    )


def reset_peak() -> None:
    """Let the peak count from now on, where the system allows."""
    try:
        (_PROC / "clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        # The peak then counts from the start of the process, as it does where there is no such file.
        return


def num_open_files() -> int:
    """Open file descriptors of this process."""
    try:
        return len(os.listdir(_PROC / "fd")) - 1  # the one that lists them
    except OSError:
        return -1


def num_threads() -> int:
    """Threads of this process, native ones included."""
    return _number(_fields("status").get("Threads")) or threading.active_count()


def _fields(name: str) -> dict[str, str]:
    try:
        lines = (_PROC / name).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _kilobytes(text: str | None) -> int | None:
    number = _number(None if text is None else text.split()[0])
    return None if number is None else number * 1024


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
