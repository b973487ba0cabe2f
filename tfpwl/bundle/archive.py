"""Reading a packed bundle in place: a stored zip whose members' data begin on pages of 16 KiB.

The parser takes the one layout that :mod:`tfpwl.bundle.packing` writes and nothing else that a zip may be: members
stand one after another without gap or overlap, stored, without zip64, encryption, data descriptors or comments.
What the file claims is therefore what every other zip reader sees, and nothing can hide between members.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tfpwl.bundle.entries import PLAIN_NAME
from tfpwl.errors import IntegrityError

PAGE = 1 << 14  # the largest page of Android devices (15 and later; 4 KiB before)
LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCAL_MARK, CENTRAL_MARK, END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
MAX_MEMBERS = 4096
MAX_DIRECTORY_BYTES = 1 << 20
_PACK_AGAIN = "Copy the pack again, or make it again with `tfpwl pack`."


@dataclass(frozen=True, slots=True)
class Member:
    """Where a file's data lie in the pack: ``start`` and ``size`` in bytes; ``crc`` as the zip has it."""

    name: str
    header: int
    start: int
    size: int
    crc: int


class PackStore:
    """The :class:`~tfpwl.bundle.store.Store` of a packed bundle.

    The file stays open for as long as the store lives, so that a pack that is replaced on disk while an app runs goes
    on being the one that was opened.

    Raises:
        IntegrityError: the file is no pack, or breaks a rule of the layout.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as exc:
            raise IntegrityError(f"{path}: {exc.strerror or exc}; it cannot be read.") from exc
        weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"{path}: is no plain file; expected a pack made by `tfpwl pack`.")
        self._size = status.st_size
        self._members = {member.name: member for member in self._read_directory()}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._members))

    def has(self, name: str) -> bool:
        return name in self._members

    def check_size(self, name: str, expected: int) -> None:
        size = self._member(name).size
        if size != expected:
            self._fail(f"{name} has {size} bytes; the manifest expects {expected}")

    def read(self, name: str, *, limit: int, exact: bool = False) -> bytes:
        member = self._member(name)
        if member.size > limit or (exact and member.size != limit):
            self._fail(f"{name} has {member.size} bytes; expected {'' if exact else 'at most '}{limit}")
        data = self._read_at(member.start, member.size)
        # Who knows the exact size knows the SHA-256, too, and checks that; a CRC of all weights takes as long again.
        if not exact and zlib.crc32(data) != member.crc:
            self._fail(f"{name} has another CRC-32 than the zip says")
        return data

    def view(self, name: str, size: int) -> memoryview:
        self.check_size(name, size)
        member = self._member(name)
        if self._map is None:
            self._map = self._mapped()
        return memoryview(self._map)[member.start : member.start + member.size]

    def _mapped(self) -> mmap.mmap:
        # A page beyond the end of a file that was cut is a SIGBUS when it is touched, not an error.
        if os.fstat(self._descriptor).st_size != self._size:
            self._fail("the file has changed its size since it was opened")
        try:
            return mmap.mmap(self._descriptor, self._size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as exc:
            raise IntegrityError(f"{self._path}: cannot be mapped: {exc}. {_PACK_AGAIN}") from exc

    def _member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise IntegrityError(f"{self._path}: holds no {name}, which the bundle needs. {_PACK_AGAIN}") from None

    def _read_directory(self) -> list[Member]:
        end = self._read_at(max(0, self._size - END.size), min(END.size, self._size))
        if len(end) != END.size or not end.startswith(END_MARK):
            self._fail("does not end as a zip without a comment does; it may be cut short")
        _, disk, first_disk, here, total, length, start, comment = END.unpack(end)
        if (disk, first_disk, comment) != (0, 0, 0) or here != total or not 1 <= total <= MAX_MEMBERS:
            self._fail(f"the zip's end tells of {total} members, {disk + 1} disks and a comment of {comment} bytes")
        if length > MAX_DIRECTORY_BYTES or start + length != self._size - END.size:
            self._fail("the zip's directory does not stand right before its end")
        members = self._parse_directory(self._read_at(start, length), total)
        self._check_layout(members, start)
        return members

    def _parse_directory(self, data: bytes, total: int) -> list[Member]:
        members: dict[str, Member] = {}
        at = 0
        for _ in range(total):
            if len(data) - at < CENTRAL.size:
                self._fail("the zip's directory is cut short")
            mark, _, _, flags, method, _, _, crc, packed, size, n, extra, comment, disk, _, _, header = (
                CENTRAL.unpack_from(data, at)
            )
            raw = data[at + CENTRAL.size : at + CENTRAL.size + n]
            at += CENTRAL.size + n
            name = raw.decode("ascii", "replace")
            if mark != CENTRAL_MARK or not PLAIN_NAME.fullmatch(name):
                self._fail(f"the zip's directory has a broken entry or the name {name[:80]!r}; expected plain names")
            if method != 0 or flags != 0 or packed != size or extra or comment or disk:
                self._fail(f"{name} is compressed, encrypted or carries extra fields; expected it stored as it is")
            if name.lower() in members:
                self._fail(f"{name} stands twice in the zip")
            members[name.lower()] = Member(name, header, self._data_start(name, header, flags, crc, size), size, crc)
        if at != len(data):
            self._fail("the zip's directory holds more than its entries")
        return list(members.values())

    def _data_start(self, name: str, header: int, flags: int, crc: int, size: int) -> int:
        local = self._read_at(header, LOCAL.size + len(name))
        mark, _, found_flags, method, _, _, *sums, n, extra = LOCAL.unpack_from(local)
        same = (mark, found_flags, method, sums, local[LOCAL.size :]) == (
            LOCAL_MARK, flags, 0, [crc, size, size], name.encode()
        )  # fmt: skip
        if not same or n != len(name):
            self._fail(f"{name}: its header and the zip's directory do not agree")
        start = header + LOCAL.size + n + extra
        if start % PAGE:
            self._fail(f"{name} begins at byte {start}; expected a multiple of {PAGE}")
        return start

    def _check_layout(self, members: list[Member], directory: int) -> None:
        """Without gaps there is no overlap, no member inside another's padding, and no bytes that nobody names."""
        expected = 0
        for member in sorted(members, key=lambda one: one.header):
            if member.header != expected:
                self._fail(f"{member.name} overlaps the member before it or leaves a gap (byte {member.header})")
            expected = member.start + member.size
        if expected != directory:
            self._fail(f"the last member ends at byte {expected} and the zip's directory begins at {directory}")

    def _read_at(self, start: int, size: int) -> bytes:
        parts, missing = [], size
        try:
            while missing and (part := os.pread(self._descriptor, missing, start + size - missing)):
                parts.append(part)
                missing -= len(part)
        except OSError as exc:
            raise IntegrityError(f"{self._path}: {exc.strerror or exc}; it cannot be read. {_PACK_AGAIN}") from exc
        if missing:
            self._fail(f"ends {missing} bytes too early")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fail(self, problem: str) -> NoReturn:
        raise IntegrityError(f"{self._path}: {problem}. {_PACK_AGAIN}")
