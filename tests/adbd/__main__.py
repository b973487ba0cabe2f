"""Run an emulated phone until Enter or the end of input: ``python tests/adbd --port 6555``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from adbd.device import Device, Profile, java_for_app_process


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/adbd", description=__doc__)
    parser.add_argument("--port", type=int, default=6555)
    parser.add_argument("--shell-v1", action="store_true", help="an old phone: exit codes are lost, stderr is merged")
    arguments = parser.parse_args()
    profile = Profile(shell_v2=not arguments.shell_v1, app_process=java_for_app_process())
    with (
        tempfile.TemporaryDirectory(prefix="tfpwl-phone-") as folder,
        Device(Path(folder) / "phone", profile, port=arguments.port) as device,
    ):
        print(f"adb connect {device.serial}", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
