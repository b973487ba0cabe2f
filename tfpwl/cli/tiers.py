"""``tfpwl tiers``: what is in a ``tiers.json``, and which tier a device takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from tfpwl.cli.arguments import json_option, stdout_console

if TYPE_CHECKING:
    from tfpwl.runtime import Tier, Tiers
    from tfpwl.runtime.tiers import Requirements

_FILE = click.Path(path_type=Path)
_file_argument = click.argument("file", metavar="TIERS.json", type=_FILE)


@click.group()
def tiers() -> None:
    """Look at tiers, and choose one as a device does.

    \b
    Example:
      tfpwl tiers show runs/digits_tiers/tiers.json
      tfpwl tiers select runs/digits_tiers/tiers.json --device phone.json
    """


@tiers.command()
@_file_argument
@json_option("the tiers")
def show(file: Path, *, as_json: bool) -> None:
    """Show the tiers of a build, the best one first, and check that their bundles are the ones they name.

    \b
    Example:
      tfpwl tiers show runs/digits_tiers/tiers.json
    """
    from tfpwl.runtime import read_tiers  # noqa: PLC0415
    from tfpwl.runtime.tiers import open_tier  # noqa: PLC0415

    found = read_tiers(file)
    folder = file if file.is_dir() else file.parent
    for name in found.order:
        open_tier(folder, found[name])
    if as_json:
        click.echo(found.to_json(), nl=False)
    else:
        stdout_console().print(_table(found))


@tiers.command()
@_file_argument
@click.option("--device", metavar="DEVICE.json", type=_FILE, help="A device's facts. [this machine]")
@json_option("the choice")
def select(file: Path, *, device: Path | None, as_json: bool) -> None:
    """Say which tier a device takes, and why no better one.

    DEVICE.json has ram_bytes, cores, abis, free_bytes and, where they are known, low_ram and performance_class. The
    command ends with 1 where no tier fits.

    \b
    Example:
      tfpwl tiers select runs/digits_tiers/tiers.json
      tfpwl tiers select runs/digits_tiers/tiers.json --device phone.json --json
    """
    from tfpwl.runtime import DeviceFacts, read_tiers, select_tier  # noqa: PLC0415

    found = read_tiers(file)
    folder = file if file.is_dir() else file.parent
    facts = DeviceFacts.of_this_machine(folder) if device is None else DeviceFacts.from_file(device)
    choice = select_tier(found, facts)
    if as_json:
        click.echo(json.dumps({**asdict(choice), "device": asdict(facts)}, indent=1, sort_keys=True))
    else:
        click.echo(choice.reason)


def _table(found: Tiers) -> Table:
    from tfpwl.report import units  # noqa: PLC0415

    table = Table("tier", "bundle", "precision", "runs with", "storage", "student", "memory", "asks for",
                  title=f"{found.name}; fallback: {found.fallback or 'none'}", title_justify="left")  # fmt: skip
    for name in found.order:
        tier: Tier = found[name]
        memory = f"{units.byte_size(tier.resident_bytes.student)} → {units.byte_size(tier.resident_bytes.teacher)}"
        table.add_row(
            tier.name, tier.bundle, tier.precision, f"{tier.runtime.threads} × {tier.runtime.delegate}",
            units.byte_size(tier.bytes.bundle), units.byte_size(tier.bytes.student), memory, _demands(tier.requires),
        )  # fmt: skip
    return table


def _demands(requires: Requirements) -> str:
    from tfpwl.report import units  # noqa: PLC0415

    demands = [
        (requires.ram_bytes > 0, f"{requires.ram_bytes / 2**30:.3g} GiB of memory"),
        (not requires.low_ram_allowed, "no low-RAM flag"),
        (requires.performance_class > 0, f"class {requires.performance_class}"),
        (requires.cores > 1, f"{requires.cores} cores"),
        (bool(requires.abis), " or ".join(requires.abis)),
        (True, f"{units.byte_size(requires.free_bytes)} free"),
    ]
    return ", ".join(text for asked, text in demands if asked)
