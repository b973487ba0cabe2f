"""The emulated phone: its properties, its files, the faults it can have, and the daemon that adb connects to."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adbd import services
from adbd.sandbox import Sandbox, bubblewrap_works
from adbd.wire import Host, Stream

HOST_JAR = Path(__file__).parents[2] / "android_bench/bench/target/tfpwl-bench-host.jar"
_SHELL_V1 = ("cmd", "stat_v2", "ls_v2", "fixed_push_mkdir")
_SHELL_V2 = ("shell_v2", *_SHELL_V1, "sendrecv_v2")
# The command line tools of a phone, as far as a benchmark asks for them. PHONE is the phone's root.
_TOOLS = {
    "getprop": 'cat "$PHONE/system/props"',
    "df": 'cat "$PHONE/system/df"',
    "dumpsys": 'cat "$PHONE/system/dumpsys.$1"',
    "logcat": 'cat "$PHONE/system/crashes" 2>/dev/null',
    # What debuggerd leaves when a program dies of a signal.
    "die_of_a_signal": 'cd "$PHONE/data/tombstones"\n'
    'echo "signal 11 (SIGSEGV), fault addr 0x10" > tombstone_0$(ls | wc -l)\nkill -SEGV $$',
}


@dataclass
class Faults:
    """What goes wrong; None or empty where nothing does.

    Attributes:
        drop_push_after: bytes of pushed content after which the connection is cut.
        free_bytes: bytes of pushed content that the storage takes.
        offline_at: the connection is cut for good when a shell command has this text in it.
        silent_at: a shell command with this text in it is never answered.
        authorised: False for a phone on whose screen nobody has allowed this computer.
    """

    drop_push_after: int | None = None
    free_bytes: int | None = None
    offline_at: str = ""
    silent_at: str = ""
    authorised: bool = True


@dataclass
class Profile:
    """What kind of phone.

    Attributes:
        temperatures: in °C, read one after the other; the last one stays.
        app_process: the shell script that stands for the program of that name; without one the phone has none.
    """

    model: str = "Emulated 7"
    abis: tuple[str, ...] = ("arm64-v8a", "armeabi-v7a")
    api: int = 33
    memory_kb: int = 5_767_168
    free_kb: int = 20_000_000
    shell_v2: bool = True
    temperatures: tuple[float, ...] = (31.0,)
    app_process: str = ""
    faults: Faults = field(default_factory=Faults)


def java_for_app_process() -> str:
    """A script that runs the benchmark's JVM form with LiteRT as its engine; empty where that was not built.

    It ignores the dex jar and the native library that were pushed: there is no dalvikvm here that could take them.
    """
    litert = importlib.util.find_spec("ai_edge_litert")
    if not HOST_JAR.is_file() or shutil.which("java") is None or litert is None or litert.origin is None:
        return ""
    library = Path(litert.origin).with_name("libLiteRt.so")
    # JNA unpacks its library into a folder that it can write to.
    folders = '-Djava.io.tmpdir="$PHONE/data" -Djna.tmpdir="$PHONE/data"'
    return f'shift\nexec java -Dtfpwl.litert={library} {folders} -cp {HOST_JAR} "$@"'


class Device:
    """An adb daemon on a port of its own, in a thread; a context manager.

    Example:
        >>> with Device(tmp_path / "phone", Profile()) as device:            # doctest: +SKIP
        ...     subprocess.run(["adb", "connect", device.serial])
    """

    def __init__(self, root: Path, profile: Profile, *, mounts: bool | None = None, port: int = 0) -> None:
        self.profile, self.faults = profile, profile.faults
        self.sandbox = Sandbox(root, mounts=bubblewrap_works() if mounts is None else mounts)
        self.processes: list[asyncio.subprocess.Process] = []
        self.commands: list[str] = []
        self.pushed_bytes = 0
        self._temperatures = list(profile.temperatures)
        self._hosts: set[Host] = set()
        self._loop = asyncio.new_event_loop()
        self._port = port
        self._furnish()

    def __enter__(self) -> Device:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def serial(self) -> str:
        """As ``adb devices`` names it."""
        return f"127.0.0.1:{self._port}"

    @property
    def files(self) -> list[str]:
        """Everything in /data/local/tmp, folders too."""
        tmp = self.sandbox.host_path("/data/local/tmp")
        return sorted(str(path.relative_to(tmp)) for path in tmp.rglob("*"))

    def wait_until_quiet(self) -> None:
        """Return when every program that was started over adb has ended.

        Raises:
            TimeoutError: one has not.
        """
        _wait(lambda: all(process.returncode is not None for process in self.processes), "a program still runs")

    def wait_for_file(self, path: str) -> None:
        """Return when there is such a file on the phone.

        Raises:
            TimeoutError: it did not come.
        """
        _wait(lambda: self.sandbox.host_path(path).exists(), f"there is no {path}")

    async def allows(self, command: str) -> bool:
        """Note a shell command, show it the next temperature, and let the faults that wait for it happen."""
        self.commands.append(command)
        if "/sys/class/thermal" in command:
            self._write_temperature()
        if self.faults.offline_at and self.faults.offline_at in command:
            self._server.close()
            self.drop()
            return False
        if self.faults.silent_at and self.faults.silent_at in command:
            await asyncio.Event().wait()
        return True

    async def is_full(self, more: int) -> bool:
        """Count bytes of pushed content; cut the connection or tell that the storage is full where that is due."""
        self.pushed_bytes += more
        limit = self.faults.drop_push_after
        if limit is not None and self.pushed_bytes > limit:
            self.drop()
            raise ConnectionResetError
        return self.faults.free_bytes is not None and self.pushed_bytes > self.faults.free_bytes

    def drop(self) -> None:
        """Cut every connection."""
        for host in self._hosts:
            host.drop()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        p = self.profile
        features = ",".join(_SHELL_V2 if p.shell_v2 else _SHELL_V1)
        name = p.model.lower().replace(" ", "_")
        banner = (
            f"device::ro.product.name={name};ro.product.model={p.model};ro.product.device={name};features={features}"
        )
        host = Host(reader, writer, banner.encode())
        self._hosts.add(host)
        await host.serve(self._serve, self.faults.authorised)
        self._hosts.discard(host)

    async def _serve(self, stream: Stream, name: str) -> None:
        await services.serve(self, stream, name)

    async def _stop(self) -> None:
        self._server.close()
        self.drop()
        for process in self.processes:
            services.kill_group(process)
            await process.wait()
        while self._hosts:  # a task of asyncio's own server complains when it is cancelled
            await asyncio.sleep(0.001)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _furnish(self) -> None:
        """Write the files that the phone's tools and a benchmark read."""
        p, sandbox = self.profile, self.sandbox
        props = {
            "ro.product.model": p.model, "ro.product.manufacturer": "tfpwl", "ro.product.cpu.abi": p.abis[0],
            "ro.product.cpu.abilist": ",".join(p.abis), "ro.build.version.sdk": p.api, "ro.soc.model": "EMU1",
            "ro.soc.manufacturer": "tfpwl", "ro.build.version.release": "13",
        }  # fmt: skip
        system = sandbox.root / "system"
        (system / "props").write_text("".join(f"[{key}]: [{value}]\n" for key, value in props.items()))
        (system / "df").write_text(
            "Filesystem     1K-blocks     Used Available Use% Mounted on\n"
            f"/dev/block/dm-9 {p.free_kb + 1000} 1000 {p.free_kb} 1% /data\n"
        )
        (system / "dumpsys.battery").write_text("Current Battery Service state:\n  level: 80\n  temperature: 285\n")
        # The processor's own lines: native code asks here what the real processor can do.
        (sandbox.root / "proc/cpuinfo").write_text(Path("/proc/cpuinfo").read_text() + "Hardware\t: EMU1\n")
        (sandbox.root / "proc/meminfo").write_text(f"MemTotal: {p.memory_kb:>14} kB\nMemFree:  1000000 kB\n")
        zone = sandbox.root / "sys/class/thermal/thermal_zone0"
        zone.mkdir()
        (zone / "type").write_text("cpu-0-0\n")
        tools = dict(_TOOLS)
        if p.app_process:
            tools["app_process"] = p.app_process
        for tool, script in tools.items():
            (sandbox.tools / tool).write_text(f"#!/bin/sh\n{script}\n")
            (sandbox.tools / tool).chmod(0o755)

    def _write_temperature(self) -> None:
        now = self._temperatures[0] if len(self._temperatures) == 1 else self._temperatures.pop(0)
        (self.sandbox.root / "sys/class/thermal/thermal_zone0/temp").write_text(f"{round(now * 1000)}\n")


def _wait(reached: Callable[[], bool], otherwise: str) -> None:
    # Looks are counted, not seconds: a machine that stood still for a while has not looked either.
    for _ in range(6000):
        if reached():
            return
        time.sleep(0.01)
    raise TimeoutError(otherwise)
