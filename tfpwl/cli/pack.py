"""``tfpwl pack`` and ``tfpwl unpack``: a bundle as one file, or as asset packs for Google Play, and back."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tfpwl.bundle import Bundle
from tfpwl.bundle import pack as pack_bundle
from tfpwl.bundle import unpack as unpack_bundle
from tfpwl.bundle.asset_packs import Delivery, write_asset_packs
from tfpwl.bundle.packing import PACK_SUFFIX
from tfpwl.cli.arguments import bundle_argument, open_bundle, public_key_option
from tfpwl.cli.progress import stderr_console
from tfpwl.report import units
from tfpwl.runtime.tiers import TIERS_NAME, open_tier, read_tiers


@click.command()
@bundle_argument
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="The pack; by default BUNDLE.tfpwl."
)
@click.option(
    "--asset-packs", metavar="FOLDER", type=click.Path(path_type=Path),
    help="Write Play asset packs instead: one with the student, one with the rest.",
)  # fmt: skip
@click.option(
    "--delivery", type=click.Choice(["fast-follow", "on-demand"]), default="fast-follow", show_default=True,
    help="With --asset-packs: when devices get the teacher.",
)  # fmt: skip
def pack(bundle: Path, output: Path | None, asset_packs: Path | None, delivery: Delivery) -> None:
    """Pack a bundle into one file.

    An uncompressed zip whose members lie on pages of 16 KiB: every command and ProgressiveModel.open() take it as it
    is, and Android can map it out of an APK. The same bundle gives the same bytes. A signature is packed, too.

    With --asset-packs two modules of an Android project are written: the student is installed with the app, the
    teacher follows. BUNDLE may be a tiers.json then; each tier's bundle becomes that of the device group of its name.

    \b
    Example:
      tfpwl pack runs/digits_resnet/bundle -o digits.tfpwl
      tfpwl run digits.tfpwl --data digits
      tfpwl pack runs/digits_tiers/tiers.json --asset-packs app/packs
    """
    if asset_packs is not None:
        if output is not None:
            raise click.UsageError("Give --output for one file or --asset-packs for packs, not both.")
        _write_packs(bundle, asset_packs, delivery)
        return
    opened = open_bundle(bundle)
    target = opened.root.with_name(opened.root.name + PACK_SUFFIX) if output is None else output
    with stderr_console().status("packing"):
        packed = pack_bundle(opened, target)
    click.echo(f"Packed {len(packed.files())} files, {units.byte_size(os.path.getsize(packed.root))}: {target}")


def _write_packs(bundle: Path, folder: Path, delivery: Delivery) -> None:
    bundles: dict[str, Bundle]
    if bundle.name == TIERS_NAME:
        tiers = read_tiers(bundle)
        name, bundles = tiers.name, {tier.name: open_tier(bundle.parent, tier) for tier in tiers.tiers}
    else:
        name, bundles = None, {"": open_bundle(bundle)}
    with stderr_console().status("packing"):
        packs = write_asset_packs(bundles, folder, name=name, delivery=delivery)
    for written in packs:
        click.echo(f"{folder / written.name}: {written.delivery}, {units.byte_size(written.num_bytes)}")


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
