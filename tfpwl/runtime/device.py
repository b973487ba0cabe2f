"""What a device is, as far as the choice of a tier depends on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tfpwl.bundle.schema import Document, Node, parse_json
from tfpwl.errors import DataError

MAX_FACTS_BYTES = 1 << 16
MAX_ABIS = 16
_ABI = re.compile("[A-Za-z0-9_-]{1,32}")
_DOCUMENT = Document("the device's facts", DataError, "write them again")
# Linux's and macOS' names of a processor, and Android's for the files that it runs.
_ABIS = {
    "aarch64": "arm64-v8a", "arm64": "arm64-v8a", "armv8l": "armeabi-v7a", "armv7l": "armeabi-v7a",
    "x86_64": "x86_64", "amd64": "x86_64", "i686": "x86", "i386": "x86",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device, in the words of Android; the Java library finds them by itself (``tfpwl.android.Devices``).

    Attributes:
        ram_bytes: all memory that the system sees; a phone sold with 6 GB reports about 5.4 GiB.
        cores: processors.
        abis: kinds of native code that it runs, the best one first.
        free_bytes: free storage where bundles lie.
        low_ram: Android's flag for devices that must save memory.
        performance_class: Android's media performance class (31, 33, …), 0 for a device without one; None where the
            system has no such thing.
    """

    ram_bytes: int
    cores: int
    abis: tuple[str, ...]
    free_bytes: int
    low_ram: bool = False
    performance_class: int | None = None

    @classmethod
    def of_this_machine(cls, folder: str | os.PathLike[str] = ".") -> DeviceFacts:
        """The facts of this machine; ``folder`` is where bundles lie, or will lie.

        Raises:
            DataError: there is no such folder.
        """
        try:
            free_bytes = shutil.disk_usage(folder).free
        except OSError as exc:
            raise DataError(f"The free storage at {folder} cannot be told: {exc.strerror or exc}.") from exc
        machine = platform.machine()
        return cls(
            ram_bytes=_ram_bytes(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            abis=(_ABIS.get(machine.lower(), machine),),
            free_bytes=free_bytes,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> DeviceFacts:
        """Facts that were collected elsewhere: an object with this class's fields; the last two may be missing.

        Raises:
            DataError: with the JSON path of the place that is wrong.

        Example:
            >>> DeviceFacts.from_json('{"ram_bytes": 1000, "cores": 4, "abis": ["x86"], "free_bytes": 9}').cores
            4
        """
        return cls.read(parse_json(text, max_bytes=MAX_FACTS_BYTES, document=_DOCUMENT))

    @classmethod
    def from_file(cls, path: Path) -> DeviceFacts:
        """What :meth:`from_json` reads, from a file.

        Raises:
            DataError: it cannot be read, or is wrong somewhere.
        """
        try:
            with path.open("rb") as file:
                return cls.from_json(file.read(MAX_FACTS_BYTES + 1))
        except OSError as exc:
            raise DataError(f"{path}: {exc.strerror or exc}; expected a JSON file with a device's facts.") from exc

    @classmethod
    def read(cls, node: Node) -> DeviceFacts:
        node.fields("ram_bytes", "cores", "abis", "free_bytes", optional=("low_ram", "performance_class"))
        low_ram, performance_class = node.maybe("low_ram"), node.maybe("performance_class")
        return cls(
            node["ram_bytes"].integer(minimum=0),
            node["cores"].integer(minimum=1, maximum=1 << 16),
            read_abis(node["abis"]),
            node["free_bytes"].integer(minimum=0),
            False if low_ram is None else low_ram.flag(),
            None if performance_class is None else performance_class.integer(minimum=0, maximum=1000),
        )


def read_abis(node: Node) -> tuple[str, ...]:
    """Names of ABIs, each once."""
    abis = tuple(member.matching(_ABI, "an ABI such as 'arm64-v8a'") for member in node.items())
    if len(abis) > MAX_ABIS or len(set(abis)) < len(abis):
        node.fail(f"received {len(abis)} ABIs; expected at most {MAX_ABIS}, each once")
    return abis


def _ram_bytes() -> int:
    """Memory in bytes; 0, which only a fallback is content with, where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0
