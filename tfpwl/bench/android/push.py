"""Files on the phone: one folder, only what changed is pushed, all of it goes away afterwards."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tfpwl.bench.android.adb import Phone
from tfpwl.errors import StorageFullError

FOLDER = "/data/local/tmp/tfpwl"
_SUMS = f"{FOLDER}/pushed.sha256"
_PID = f"{FOLDER}/run.pid"
# Results and logs have to fit as well.
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class PushReport:
    """What was done: names that were pushed, names that were there already, bytes on the way."""

    pushed: tuple[str, ...]
    kept: tuple[str, ...]
    num_bytes: int


def push_changed(phone: Phone, files: Mapping[str, Path], free_bytes: int | None = None) -> PushReport:
    """Bring the phone's folder to hold exactly ``files``.

    A file counts as there when the list of sums that an earlier push left on the phone has its SHA-256 and its size is
    right. A file that is about to be replaced is taken off the list first, so a cut push is never mistaken for a file.

    Args:
        phone: where to.
        files: local files by their name below the folder; all of them may be executed.
        free_bytes: room on the phone, None if unknown.

    Raises:
        StorageFullError: there is no room.
        DeviceError: the phone is not to be reached or was lost on the way.
    """
    wanted = {name: (_sha256(path), path.stat().st_size) for name, path in files.items()}
    sums, sizes = _remote(phone)
    kept = {name for name, (digest, size) in wanted.items() if (sums.get(name), sizes.get(name)) == (digest, size)}
    missing = sorted(set(wanted) - kept)
    num_bytes = sum(wanted[name][1] for name in missing)
    stale = [name for name in sizes if name not in kept]
    freed = sum(sizes[name] for name in stale)
    if missing and free_bytes is not None and num_bytes + _SPARE_BYTES > free_bytes + freed:
        raise StorageFullError(
            f"{phone.serial} has {free_bytes / 1e6:.0f} MB left, {(num_bytes + _SPARE_BYTES) / 1e6:.0f} MB are needed. "
            "Delete something on it."
        )
    if missing or stale:
        _write_sums(phone, {name: wanted[name][0] for name in kept}, remove=stale)
    for name in missing:
        phone.push(files[name], f"{FOLDER}/{name}")
    if missing:
        _write_sums(phone, {name: digest for name, (digest, _) in wanted.items()})
        phone.read(f"cd {FOLDER} && chmod 755 {_quoted(missing)}")
    return PushReport(tuple(missing), tuple(sorted(kept)), num_bytes)


def clean(phone: Phone, *, keep_pushed: bool = False) -> None:
    """End what still runs and remove the folder, or only what no push has put there.

    Raises:
        DeviceError: the phone is not to be reached.
    """
    end_program(phone)
    if keep_pushed:
        sums, sizes = _remote(phone)
        rest = [name for name in sizes if name not in sums]
        if rest:
            phone.read(f"cd {FOLDER} && rm -f {_quoted(rest)}")
    else:
        phone.read(f"rm -rf {FOLDER}")


def end_program(phone: Phone) -> None:
    """Kill the program that runs on the phone, if one does.

    Raises:
        DeviceError: the phone is not to be reached.
    """
    # Only a file that was read is removed: one that appears meanwhile is of a program that still must be killed.
    phone.shell(f"if [ -f {_PID} ]; then kill -9 $(cat {_PID}); rm -f {_PID}; fi")


def leave_pid() -> str:
    """A command that leaves the process id of its shell for :func:`end_program`; never a file that is still empty."""
    return f"echo $$ > {_PID}.new && mv {_PID}.new {_PID}"


def _remote(phone: Phone) -> tuple[dict[str, str], dict[str, int]]:
    """Sums and sizes of what lies in the phone's folder, by name; none where there is no folder."""
    told = phone.read(
        f"[ -d {FOLDER} ] || exit 0; cd {FOLDER}; cat {_SUMS} 2>/dev/null; echo ==; "
        """find . -type f | while read -r f; do stat -c '%s %n' "$f"; done"""
    )
    sums, _, sizes = told.partition("==\n")
    found = {name: int(size) for size, name in re.findall(r"^(\d+) \./(.+)$", sizes, re.MULTILINE)}
    found.pop(Path(_SUMS).name, None)
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", sums, re.MULTILINE)}, found


def _write_sums(phone: Phone, sums: Mapping[str, str], remove: list[str] | None = None) -> None:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    deleting = f"rm -f {_quoted(remove)} && " if remove else ""
    phone.read(f"mkdir -p {FOLDER} && cd {FOLDER} && {deleting}printf %s {shlex.quote(lines)} > {_SUMS}")


def _quoted(names: list[str]) -> str:
    return " ".join(map(shlex.quote, names))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
