"""What the commands on a bundle have in common: the BUNDLE argument, ``--data``, ``--json``."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tfpwl.bundle import Bundle
from tfpwl.bundle.store import MANIFEST_NAME
from tfpwl.errors import BundleError

_PASSWORD = re.compile(r"//[^/@\s]+@")

bundle_argument = click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))

public_key_option = click.option(
    "--public-key", metavar="PEM", type=click.Path(path_type=Path),
    help="Demand a signature made with the private half of this Ed25519 key.",
)  # fmt: skip


def json_option(what: str) -> Callable[[Any], Any]:
    """``--json``; ``what`` completes the sentence "Print … as JSON on stdout."."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON on stdout.")


def stdout_console() -> Console:
    """A console for results that a person reads."""
    return Console(highlight=False)


def given_command() -> str | None:
    """The command line as it was typed, for reports; passwords in addresses are left out. None outside `tfpwl`."""
    context = click.get_current_context(silent=True)
    arguments = None if context is None else context.find_root().obj
    return None if arguments is None else shlex.join(["tfpwl", *(_PASSWORD.sub("//", text) for text in arguments)])


def open_bundle(path: Path) -> Bundle:
    """Open the bundle at ``path``.

    Raises:
        BundleError: it is none or is broken; for the folder of a build the message names the bundle inside it.
    """
    if not os.path.lexists(path / MANIFEST_NAME) and os.path.lexists(path / "bundle" / MANIFEST_NAME):
        raise BundleError(f"{path} is the folder of a build; its bundle is {path / 'bundle'}.")
    return Bundle.open(path)
