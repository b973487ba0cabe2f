"""The folder on this machine that stands for a phone's files, and commands that run in it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

# What a command on the phone sees in place of this machine's.
_OWN = ("/data", "/proc/meminfo", "/proc/cpuinfo", "/sys/class/thermal")


@functools.cache
def bubblewrap_works() -> bool:
    """Whether bubblewrap is installed and may make namespaces here (in some containers it may not)."""
    program = shutil.which("bwrap")
    if program is None:
        return False
    return subprocess.run([program, "--ro-bind", "/", "/", "true"], capture_output=True, check=False).returncode == 0


class Sandbox:
    """Runs shell commands so that ``/data`` and some files of /proc and /sys are those of ``root``.

    With bubblewrap they are mounted there. Without it the paths are replaced in the text of a command and back in what
    it prints, which is enough for programs that get their paths as arguments.
    """

    def __init__(self, root: Path, *, mounts: bool) -> None:
        self.root = root
        self._mounts = mounts
        self.tools = root / "system/bin"
        for folder in ("data/local/tmp", "data/tombstones", "proc", "sys/class/thermal", "system/bin"):
            (root / folder).mkdir(parents=True)

    def host_path(self, path: str) -> Path:
        """Where a file of the phone lies on this machine."""
        return self.root / os.path.normpath(path).lstrip("/")

    def argv(self, command: str) -> list[str]:
        """What to start on this machine for a shell command on the phone."""
        if not self._mounts:
            for path in _OWN:
                command = command.replace(path, str(self.root) + path)
            return ["sh", "-c", command]
        binds = [word for top in sorted(Path("/").iterdir()) for word in self._bind(top)]
        own = ["--bind", str(self.root / "data"), "/data", "--ro-bind", str(self.root / "system"), "/system"]
        own += ["--dev", "/dev", "--ro-bind", "/proc", "/proc", "--ro-bind", "/sys/devices", "/sys/devices"]
        for path in _OWN[1:]:
            own += ["--ro-bind", str(self.root) + path, path]
        return ["bwrap", "--die-with-parent", *binds, *own, "--chdir", "/", "sh", "-c", command]

    def _bind(self, top: Path) -> list[str]:
        if top.is_symlink():
            return ["--symlink", str(top.readlink()), str(top)]
        return [] if top.name in ("data", "dev", "proc", "sys", "system") else ["--ro-bind", str(top), str(top)]

    def environment(self) -> dict[str, str]:
        """Of a command on the phone; ``PHONE`` is where the phone's root is."""
        tools, phone = ("/system/bin", "") if self._mounts else (str(self.tools), str(self.root))
        return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PHONE": phone}

    def seen_inside(self, output: bytes) -> bytes:
        """What a command printed, with the phone's paths."""
        return output if self._mounts else output.replace(str(self.root).encode(), b"")
