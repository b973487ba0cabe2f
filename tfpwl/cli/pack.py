"""``tfpwl pack`` and ``tfpwl unpack``: a bundle as one file, and back."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tfpwl.bundle import pack as pack_bundle
from tfpwl.bundle import unpack as unpack_bundle
from tfpwl.bundle.packing import PACK_SUFFIX
from tfpwl.cli.arguments import bundle_argument, open_bundle, public_key_option
from tfpwl.cli.progress import stderr_console
from tfpwl.report import units


@click.command()
@bundle_argument
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="The pack; by default BUNDLE.tfpwl."
)
def pack(bundle: Path, output: Path | None) -> None:
    """Pack a bundle into one file.

    An uncompressed zip whose members lie on pages of 16 KiB: every command and ProgressiveModel.open() take it as it
    is, and Android can map it out of an APK. The same bundle gives the same bytes. A signature is packed, too.

    \b
    Example:
      tfpwl pack runs/digits_resnet/bundle -o digits.tfpwl
      tfpwl run digits.tfpwl --data digits
    """
    opened = open_bundle(bundle)
    target = opened.root.with_name(opened.root.name + PACK_SUFFIX) if output is None else output
    with stderr_console().status("packing"):
        packed = pack_bundle(opened, target)
    click.echo(f"Packed {len(packed.files())} files, {units.byte_size(os.path.getsize(packed.root))}: {target}")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="The bundle's folder."
)
@public_key_option
def unpack(file: Path, output: Path, public_key: Path | None) -> None:
    """Unpack a packed bundle into a folder.

    Every sum is checked; the folder holds what was packed, byte for byte. A bundle that is there is replaced.

    \b
    Example:
      tfpwl unpack digits.tfpwl -o digits
    """
    with stderr_console().status("unpacking"):
        opened = unpack_bundle(file, output, public_key=public_key)
    click.echo(f"Unpacked {len(opened.files())} files: {output}")
