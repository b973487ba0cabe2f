"""The adb binary: which phones are there, shell commands with their exit codes, files there and back, typed errors.

The binary and not a Python library: it is what people have and trust, its messages are the ones they can look up, and
each call is a process of its own that can be given up when a phone hangs.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tfpwl.errors import (
    DeviceError,
    DeviceOfflineError,
    DeviceTimeoutError,
    MissingDependencyError,
    NoDeviceError,
    StorageFullError,
    UnauthorizedError,
)

ALL = "all"
_LOST = re.compile(
    r"device offline|device '.*' not found|no devices|couldn't read from device|copy response|closed|reset|"
    r"protocol fault"
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A shell command that ended: exit code (128 + the signal that killed it), stdout and stderr together."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Adb:
    """The adb client and, behind it, the server that knows the phones.

    Attributes:
        program: the binary, by name or path.
        timeout_s: how long a phone may take for anything but a measurement.

    Example:
        >>> for phone in Adb().select("all"):                                # doctest: +SKIP
        ...     print(phone.serial, phone.shell("getprop ro.product.model").output)
    """

    program: str = "adb"
    timeout_s: float = 300.0

    def run(self, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        """Call the client; its exit code is for the caller to judge.

        Raises:
            MissingDependencyError: adb is not installed.
            DeviceTimeoutError: no answer in time.
        """
        if shutil.which(self.program) is None:
            raise MissingDependencyError(
                f"{self.program} is not installed. On Debian: apt-get install adb; elsewhere: Android's platform-tools."
            )
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        try:
            return subprocess.run(
                [self.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            raise DeviceTimeoutError(f"no answer for {timeout_s:.0f} s") from exc

    def serials(self) -> tuple[str, ...]:
        """Every phone that the server lists, whatever its state.

        Raises:
            DeviceError: the server cannot be started or asked.
        """
        listed = self.run("devices")
        if listed.returncode:
            raise DeviceError(f"`{self.program} devices` failed: {listed.stderr.strip() or listed.stdout.strip()}")
        lines = listed.stdout.partition("List of devices attached")[2].splitlines()
        return tuple(line.split("\t")[0] for line in lines if "\t" in line)

    def select(self, wanted: str = "") -> tuple[Phone, ...]:
        """The phones to work with.

        Args:
            wanted: a serial, ``all``, or empty for ``$ANDROID_SERIAL`` or the only phone there is.

        Raises:
            NoDeviceError: there is none, not the one that was asked for, or more than one and none named.
        """
        serials = self.serials()
        wanted = wanted or os.environ.get("ANDROID_SERIAL", "")
        if not serials:
            raise NoDeviceError(
                "No phone is connected. Switch on USB debugging in its developer options and plug it in, "
                "or `adb connect ADDRESS`; `adb devices` must list it."
            )
        if wanted == ALL:
            return tuple(Phone(serial, self) for serial in serials)
        if not wanted and len(serials) > 1:
            raise NoDeviceError(f"{len(serials)} phones are connected; name one, or all: {', '.join(serials)}.")
        if wanted and wanted not in serials:
            raise NoDeviceError(f"No phone {wanted!r} is connected. Connected: {', '.join(serials)}.")
        return (Phone(wanted or serials[0], self),)


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone, by its serial."""

    serial: str
    adb: Adb

    def shell(self, command: str, *, timeout_s: float | None = None) -> Finished:
        """Run a command in the phone's shell.

        The exit code comes back in a line of its own: adb hands it on only to phones with ``shell_v2``, and even there
        adb 29 exits with 0 when the connection was cut. Where that line is missing, the command did not end.

        Raises:
            DeviceError: the phone is not to be reached, or was lost on the way.
        """
        mark = f"tfpwl-{secrets.token_hex(8)}"
        wrapped = f'(\n{command}\n) </dev/null 2>&1; c=$?; echo; echo "{mark}:$c"'
        done = self._call("shell", wrapped, timeout_s=timeout_s)
        # Phones without shell_v2 send what a terminal would get.
        output, found, code = done.stdout.replace("\r\n", "\n").rpartition(f"\n{mark}:")
        if not found:
            raise self._error(done.stderr or done.stdout, f"during `{_short(command)}`")
        return Finished(int(code), output)

    def read(self, command: str) -> str:
        """What a command prints.

        Raises:
            DeviceError: it failed, or the phone is not to be reached.
        """
        done = self.shell(command)
        if done.code:
            raise DeviceError(
                f"`{_short(command)}` on {self.serial} failed ({done.code}): {done.output.strip()[-500:]}"
            )
        return done.output

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the phone; its folder is made.

        Raises:
            StorageFullError: there is no room.
            DeviceError: the phone is not to be reached, was lost on the way, or refuses.
        """
        self._copy("push", str(local), remote, local.name)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the phone.

        Raises:
            DeviceError: it is not there, or the phone is not to be reached.
        """
        self._copy("pull", remote, str(local), remote)

    def _copy(self, verb: str, source: str, target: str, name: str) -> None:
        done = self._call(verb, source, target)
        if done.returncode:
            raise self._error(done.stdout + done.stderr, f"while {name} was {verb}ed")

    def _call(self, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return self.adb.run("-s", self.serial, *arguments, timeout_s=timeout_s)
        except DeviceTimeoutError as exc:
            raise DeviceTimeoutError(f"{self.serial} gave no answer to `adb {_short(arguments[0])}`: {exc}.") from exc

    def _error(self, said: str, when: str) -> DeviceError:
        """The error behind adb's words, which differ from version to version but keep these phrases."""
        said = said.strip()
        if "unauthorized" in said:
            return UnauthorizedError(
                f"{self.serial} does not trust this computer (unauthorized). Unlock it and allow USB debugging in the "
                "dialog that it shows; if there is none, `adb kill-server` and plug it in again."
            )
        if "No space left" in said:
            return StorageFullError(f"The storage of {self.serial} is full {when}. Delete something on it: {said}")
        if not said or _LOST.search(said):
            return DeviceOfflineError(
                f"The connection to {self.serial} was lost {when}{f' ({said})' if said else ''}. Check cable or "
                "network; `adb devices` must list it as `device`."
            )
        return DeviceError(f"adb failed {when} on {self.serial}: {said}")


def _short(command: str) -> str:
    first = command.strip().splitlines()[0]
    return first if len(first) <= 80 else f"{first[:77]}..."
