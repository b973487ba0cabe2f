"""``tfpwl doctor``: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfpwl.cli import doctor_checks as checks
from tfpwl.cli.arguments import json_option, stdout_console
from tfpwl.cli.progress import stderr_console
from tfpwl.cli.runtime_probe import probe_gpu, probe_runtime
from tfpwl.report import units

_NEEDS = {"device": "to run bundles", "train": "to make bundles", "option": "optional"}


@dataclass(frozen=True, slots=True)
class _Findings:
    system: dict[str, object]
    packages: list[checks.Found]
    runtime: tuple[bool, str]
    gpu: tuple[bool, str]
    backend: dict[str, object]
    devices: dict[str, object] | None
    data_sets: list[tuple[str, str | None, str]]
    adb: str | None

    @property
    def device_side_works(self) -> bool:
        return self.runtime[0] and all(f.is_good for f in self.packages if f.package.need == "device")


@click.command()
@click.option("--devices", is_flag=True, help="Also ask the Keras backend for its devices (imports it: seconds).")
@json_option("what was found")
def doctor(devices: bool, as_json: bool) -> int:
    """Say what is installed and what is missing.

    Packages, Keras backend, devices, data sets, adb, and whether the TFLite runtime runs a file, on the GPU, too.

    Exit code 0 when bundles can be run here, 1 when something needed for that is missing. What only training needs is
    listed as missing, and is no error.

    \b
    Example:
      tfpwl doctor
      tfpwl doctor --devices --json
    """
    found = _look(devices)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=1, sort_keys=True))
    else:
        _print(found, stdout_console())
    return 0 if found.device_side_works else 1


def _look(devices: bool) -> _Findings:
    with stderr_console().status("looking around"):
        return _Findings(
            system=checks.system(),
            packages=checks.find_packages(),
            runtime=probe_runtime(),
            gpu=probe_gpu(),
            backend=checks.keras_backend(),
            devices=checks.find_devices() if devices else None,
            data_sets=list(checks.find_data_sets()),
            adb=checks.find_adb(),
        )


def _missing(found: _Findings) -> Iterator[tuple[str, str]]:
    """What to install, as (why, command), each command once."""
    bad = [f for f in found.packages if not f.is_good]
    for need in ("device", "train"):
        wanted = [f for f in bad if f.package.need == need]
        for command in dict.fromkeys(f.package.install for f in wanted):
            names = ", ".join(_named(f) for f in wanted if f.package.install == command)
            yield (
                f"{names} ({_NEEDS[need]})",
                command if "tfpwl[" in command else command.replace("install", "install -U"),
            )
    backend = found.backend
    if backend["version"] is None and any(f.package.name == "keras" and f.is_good for f in found.packages):
        yield f"Keras backend {backend['name']} (chosen by {backend['said_by']})", f"pip install {backend['name']}"
    if found.adb is None:
        yield "adb (to measure on a phone)", "apt-get install adb"


def _named(found: checks.Found) -> str:
    if found.version is None:
        return found.package.name
    return f"{found.package.name} {found.package.minimum} or newer"


def _as_json(found: _Findings) -> dict[str, Any]:
    return {
        "ok": found.device_side_works,
        "system": found.system,
        "packages": {
            f.package.name: {
                "version": f.version,
                "minimum": f.package.minimum,
                "ok": f.is_good,
                "need": f.package.need,
            }
            for f in found.packages
        },
        "runtime": {"ok": found.runtime[0], "detail": found.runtime[1]},
        "gpu": {"ok": found.gpu[0], "detail": found.gpu[1]},
        "keras_backend": found.backend,
        "devices": found.devices,
        "data_sets": {name: place for name, place, _ in found.data_sets},
        "adb": found.adb,
        "missing": [{"what": what, "command": command} for what, command in _missing(found)],
    }


def _print(found: _Findings, console: Console) -> None:
    s = found.system
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column()
    rows.add_column(style="bold")
    rows.add_row("", "tfpwl", f"{s['tfpwl']}, Python {s['python']} ({s['executable']})")
    rows.add_row("", "machine", _machine(s))
    for need, title in _NEEDS.items():
        rows.add_row("", Text(f"\n{title}", style="not bold dim"))
        for f in found.packages:
            if f.package.need == need:
                rows.add_row(_mark(f.is_good, needed=need != "option"), f.package.name, _package(f))
        if need == "device":
            rows.add_row(_mark(found.runtime[0]), "runtime", found.runtime[1])
            rows.add_row(_mark(found.gpu[0], needed=False), "runtime, GPU", found.gpu[1])
        if need == "train":
            version, backend = found.backend["version"], found.backend
            rows.add_row(_mark(version is not None), "Keras backend",
                         f"{backend['name']} {version or 'not installed'} (by {backend['said_by']})")  # fmt: skip
    if found.devices is not None:
        shown = found.devices.get("error") or ", ".join(map(str, found.devices["devices"]))  # type: ignore[call-overload]
        rows.add_row(_mark("error" not in found.devices), "devices", str(shown))
    rows.add_row(_mark(found.adb is not None, needed=False), "adb", found.adb or "not installed")
    rows.add_row("", Text("\ndata sets", style="not bold dim"))
    for name, place, how in found.data_sets:
        rows.add_row(_mark(place is not None, needed=False), name, place or how)
    console.print(rows)
    missing = list(_missing(found))
    if missing:
        console.print("\n[bold]missing[/]")
        for what, command in missing:
            console.print(f"  {what}:\n    [cyan]{command.replace('[', chr(92) + '[')}[/]", soft_wrap=True)
    console.print("\nBundles can be run here." if found.device_side_works else "\n[red]Bundles cannot be run here.[/]")


def _machine(s: dict[str, object]) -> str:
    memory, free = s["memory_bytes"], s["memory_free_bytes"]
    shown = f", {units.byte_size(memory)} memory" if isinstance(memory, int) else ""
    shown += f", {units.byte_size(free)} free" if isinstance(free, int) else ""
    return f"{s['platform']}, {s['cores']} cores{shown}"


def _package(found: checks.Found) -> str:
    package = found.package
    if found.version is None:
        return f"not installed ({package.purpose})"
    return found.version if found.is_good else f"{found.version}; {package.minimum} or newer is needed"


def _mark(good: bool, *, needed: bool = True) -> Text:
    if good:
        return Text("✓", style="green")
    return Text("✗", style="bold red") if needed else Text("–", style="dim")
