"""Packets of the Android debug bridge (CNXN, AUTH, OPEN, OKAY, WRTE, CLSE), and one host's connection."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable

# From this version on nobody computes checksums any more.
VERSION = 0x01000001
MAX_DATA = 1 << 20
_HEADER = struct.Struct("<4sIIIII")
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3

Service = Callable[["Stream", str], Awaitable[None]]


class Stream:
    """One opened service: bytes from the host and to it."""

    def __init__(self, host: Host, own_id: int, its_id: int) -> None:
        self._host = host
        self._own_id, self._its_id = own_id, its_id
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self.closed = False

    async def write(self, data: bytes) -> None:
        """Send and wait for the OKAY: one WRTE is in flight at a time, and CLSE may only follow the last OKAY."""
        for start in range(0, len(data), MAX_DATA):
            if self.closed:
                raise ConnectionResetError("the host closed the stream")
            self._acknowledged.clear()
            await self._host.send(b"WRTE", self._own_id, self._its_id, data[start : start + MAX_DATA])
            await self._acknowledged.wait()

    async def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes; EOFError when the host closes before."""
        while len(self._buffer) < count:
            if self.closed:
                raise EOFError
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def received(self, command: bytes, payload: bytes) -> None:
        if command == b"WRTE":
            self._buffer += payload
            await self._host.send(b"OKAY", self._own_id, self._its_id)
        elif command == b"CLSE":
            self.closed = True
        self._acknowledged.set()
        self._arrived.set()

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self._host.send(b"CLSE", self._own_id, self._its_id)


class Host:
    """The connection of one adb server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, banner: bytes) -> None:
        self._reader, self._writer = reader, writer
        self._banner = banner
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, service: Service, authorised: bool) -> None:
        """Answer packets until the connection ends; every OPEN runs ``service`` with the stream and its name."""
        try:
            while True:
                command, first, second, payload = await self._receive()
                if command == b"CNXN" and authorised:
                    await self.send(b"CNXN", VERSION, MAX_DATA, self._banner)
                elif command == b"CNXN" or (command == b"AUTH" and first == _SIGNATURE):
                    # A key that nobody has allowed on the screen: asked for again, never answered.
                    await self.send(b"AUTH", _TOKEN, 0, os.urandom(20))
                elif command == b"OPEN":
                    await self._open(service, first, payload.rstrip(b"\0").decode())
                elif second in self._streams:
                    await self._streams[second].received(command, payload)
        except (EOFError, ConnectionError):
            pass
        finally:
            self.drop()
            for stream in self._streams.values():
                await stream.received(b"CLSE", b"")

    def drop(self) -> None:
        """Cut the cable."""
        self._writer.transport.abort()

    async def send(self, command: bytes, first: int, second: int, payload: bytes = b"") -> None:
        magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        # Before the versions are exchanged the other side still checks sums.
        checksum = sum(payload) & 0xFFFFFFFF if command in (b"CNXN", b"AUTH") else 0
        self._writer.write(_HEADER.pack(command, first, second, len(payload), checksum, magic) + payload)
        await self._writer.drain()

    async def _receive(self) -> tuple[bytes, int, int, bytes]:
        header = await self._reader.readexactly(_HEADER.size)
        command, first, second, length, _, _ = _HEADER.unpack(header)
        return command, first, second, await self._reader.readexactly(length)

    async def _open(self, service: Service, its_id: int, name: str) -> None:
        own_id = len(self._streams) + 1
        stream = self._streams[own_id] = Stream(self, own_id, its_id)
        await self.send(b"OKAY", own_id, its_id)
        task = asyncio.create_task(_run(service, stream, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(service: Service, stream: Stream, name: str) -> None:
    try:
        await service(stream, name)
        await stream.close()
    except (EOFError, ConnectionError):
        pass
