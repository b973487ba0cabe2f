"""``tfpwl verify``: the contracts of a bundle, one line each."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfpwl.bundle import Check
from tfpwl.bundle import verify as verify_bundle
from tfpwl.bundle.store import MANIFEST_NAME
from tfpwl.cli.arguments import bundle_argument, json_option, open_bundle, public_key_option, stdout_console
from tfpwl.cli.progress import stderr_console


@click.command()
@bundle_argument
@public_key_option
@json_option("the checks")
def verify(bundle: Path, public_key: Path | None, as_json: bool) -> int:
    """Check the contracts of a bundle.

    All that need no data: reads, loads and runs every file. Checks that would need a file whose checksum is wrong are
    left out. With --public-key the signature must be there and right, too. Exit code 1 when a check fails, 2 when the
    path is no bundle at all or the key is unusable.

    \b
    Example:
      tfpwl verify runs/digits_resnet/bundle
      tfpwl verify digits.tfpwl --public-key pub.pem
    """
    if not os.path.lexists(bundle / MANIFEST_NAME):
        open_bundle(bundle)  # says what is there instead
    with stderr_console().status("loading every file"):
        checks = verify_bundle(bundle, public_key=public_key)
    passed = all(check.passed for check in checks)
    if as_json:
        result = {"bundle": str(bundle), "passed": passed, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(result, indent=1, sort_keys=True))
    else:
        _print(checks, stdout_console())
    return 0 if passed else 1


def _print(checks: Sequence[Check], console: Console) -> None:
    width = max(len(check.name) for check in checks)
    if not console.is_terminal:
        for check in checks:  # unwrapped, for grep
            click.echo(f"{'✓' if check.passed else '✗'} {check.name:<{width}}  {check.detail}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for check in checks:
        mark = Text("✓", style="green") if check.passed else Text("✗", style="bold red")
        table.add_row(mark, check.name, Text(check.detail, style="" if check.passed else "red"))
    console.print(table)
