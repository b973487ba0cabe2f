"""A program on the phone that died of a signal: which one, and what the system wrote about it."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Collection
from pathlib import Path

from tfpwl.bench.android.adb import Finished, Phone
from tfpwl.errors import DeviceCrashError, DeviceError

_TOMBSTONES = "/data/tombstones"
# Enough for one crash; the log holds many.
_LOG_LINES = 300


def tombstones(phone: Phone) -> frozenset[tuple[str, str]]:
    """Names of tombstones and when they were written; none where the phone does not let us look.

    Raises:
        DeviceError: the phone is not to be reached.
    """
    listed = phone.shell(f"stat -c '%Y %n' {_TOMBSTONES}/tombstone_* 2>/dev/null").output
    return frozenset(re.findall(r"^(\d+) (\S+tombstone_\d+)$", listed, re.MULTILINE))


def crash_of(phone: Phone, subject: str, done: Finished, before: Collection[tuple[str, str]]) -> DeviceCrashError:
    """The error for a program that was killed.

    Args:
        phone: where.
        subject: what was measured.
        done: its end.
        before: the tombstones that were there before it ran.

    Raises:
        DeviceError: the phone is not to be reached any more.
    """
    number = done.code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    tombstone = "" if name == "SIGKILL" else _written(phone, before)
    why = ""
    if name == "SIGKILL":
        why = " Most often the system kills what takes too much memory: close apps, or take smaller models."
    elif not tombstone:
        why = " The phone shows no tombstone; `adb bugreport` has it."
    said = done.output.strip()[-500:]
    return DeviceCrashError(
        f"{subject} on {phone.serial} died of {name}.{why}{f' Its last words: {said}' if said else ''}", tombstone
    )


def _written(phone: Phone, before: Collection[tuple[str, str]]) -> str:
    """The new tombstone; where the shell may not read it, the crash log, which has the same backtrace."""
    new = sorted(tombstones(phone) - set(before))
    if new:
        with tempfile.TemporaryDirectory(prefix="tfpwl-tombstone-") as folder:
            copy = Path(folder) / "tombstone"
            try:
                phone.pull(new[-1][1], copy)
            except DeviceError:
                # Listed, but only root may read it.
                return _crash_log(phone)
            return copy.read_text(errors="replace", encoding="utf-8")
    return _crash_log(phone)


def _crash_log(phone: Phone) -> str:
    return phone.shell(f"logcat -b crash -d -t {_LOG_LINES}").output.strip()
