"""What runs behind a stream: the shell (v1 and v2) and the transfer of files (sync v1 and v2)."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from adbd.wire import Stream

if TYPE_CHECKING:
    from adbd.device import Device

# Of shell_v2.
_STDOUT, _STDERR, _EXIT = 1, 2, 3
_CHUNK = 64 << 10
_STAT_V2 = struct.Struct("<IQQIIIIQqqq")


async def serve(device: Device, stream: Stream, name: str) -> None:
    """Run the service that the host asked for by name."""
    kind, _, argument = name.partition(":")
    if kind == "sync":
        await _Sync(device, stream).serve()
    elif kind.split(",")[0] in ("shell", "exec"):
        await _shell(device, stream, argument, v2="v2" in kind.split(","), raw=kind == "exec")


async def _shell(device: Device, stream: Stream, command: str, *, v2: bool, raw: bool) -> None:
    if not await device.allows(command):
        return
    process = await asyncio.create_subprocess_exec(
        *device.sandbox.argv(command), env=device.sandbox.environment(), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE if v2 else asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    device.processes.append(process)
    sending = asyncio.Lock()

    async def forward(pipe: asyncio.StreamReader | None, number: int) -> None:
        while pipe is not None and (data := await pipe.read(_CHUNK)):
            data = device.sandbox.seen_inside(data)
            if not v2 and not raw:
                data = data.replace(b"\n", b"\r\n")  # a terminal's line ends
            async with sending:
                await stream.write(struct.pack("<BI", number, len(data)) + data if v2 else data)

    await asyncio.gather(forward(process.stdout, _STDOUT), forward(process.stderr, _STDERR))
    code = await process.wait()
    if v2:
        # As a shell tells of a signal; v1 has no way to tell anything.
        await stream.write(struct.pack("<BIB", _EXIT, 1, (128 - code if code < 0 else code) & 0xFF))


class _Sync:
    """One sync connection: stat, list, send, receive, in both versions."""

    def __init__(self, device: Device, stream: Stream) -> None:
        self._device, self._stream = device, stream

    async def serve(self) -> None:
        handlers = {b"STAT": self._stat, b"STA2": self._stat_v2, b"LST2": self._stat_v2, b"LIST": self._list,
                    b"LIS2": self._list, b"SEND": self._send, b"SND2": self._send_v2, b"RECV": self._receive,
                    b"RCV2": self._receive}  # fmt: skip
        while True:
            kind, length = struct.unpack("<4sI", await self._stream.read(8))
            if kind == b"QUIT":
                return
            path = (await self._stream.read(length)).decode()
            await handlers[kind](kind, path)

    async def _stat(self, kind: bytes, path: str) -> None:
        found = _stat_of(self._device.sandbox.host_path(path))
        fields = (0, 0, 0) if found is None else (found.st_mode, found.st_size, int(found.st_mtime))
        await self._stream.write(kind + struct.pack("<III", *fields))

    async def _stat_v2(self, kind: bytes, path: str) -> None:
        await self._stream.write(kind + _pack_stat(self._device.sandbox.host_path(path)))

    async def _list(self, kind: bytes, path: str) -> None:
        folder = self._device.sandbox.host_path(path)
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = entry.name.encode()
            found = entry.lstat()
            if kind == b"LIS2":
                line = b"DNT2" + _pack_stat(entry)
            else:
                line = b"DENT" + struct.pack("<III", found.st_mode, found.st_size, int(found.st_mtime))
            await self._stream.write(line + struct.pack("<I", len(name)) + name)
        empty = _STAT_V2.size if kind == b"LIS2" else 12
        await self._stream.write(b"DONE" + bytes(empty + 4))

    async def _send_v2(self, kind: bytes, path: str) -> None:
        _, mode, _ = struct.unpack("<4sII", await self._stream.read(12))
        await self._store(path, mode)

    async def _send(self, kind: bytes, path: str) -> None:
        name, _, mode = path.rpartition(",")
        await self._store(name, int(mode))

    async def _store(self, path: str, mode: int) -> None:
        """Take DATA until DONE. After a failure the rest is still taken, else the host would be stuck writing it."""
        target = self._device.sandbox.host_path(path)
        failure = None
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while True:
                kind, length = struct.unpack("<4sI", await self._stream.read(8))
                if kind == b"DONE":
                    break
                data = await self._stream.read(length)
                if await self._device.is_full(len(data)):
                    failure = f"write failed: {os.strerror(errno.ENOSPC)}"
                if failure is None:
                    file.write(data)
        if failure is not None:
            target.unlink(missing_ok=True)  # as adbd does
            await self._stream.write(b"FAIL" + struct.pack("<I", len(failure)) + failure.encode())
            return
        target.chmod(mode & 0o777)
        await self._stream.write(b"OKAY" + bytes(4))

    async def _receive(self, kind: bytes, path: str) -> None:
        if kind == b"RCV2":
            await self._stream.read(8)  # its flags: no compression
        try:
            data = self._device.sandbox.host_path(path).read_bytes()
        except OSError as exc:
            message = f"open failed: {os.strerror(exc.errno or 0)}".encode()
            await self._stream.write(b"FAIL" + struct.pack("<I", len(message)) + message)
            return
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            await self._stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
        await self._stream.write(b"DONE" + bytes(4))


def _stat_of(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _pack_stat(path: Path) -> bytes:
    found = _stat_of(path)
    if found is None:
        return _STAT_V2.pack(errno.ENOENT, *[0] * 10)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    return _STAT_V2.pack(0, found.st_dev, found.st_ino, found.st_mode, found.st_nlink, 0, 0, found.st_size, *times)


def kill_group(process: asyncio.subprocess.Process) -> None:
    """End a process and its children."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
