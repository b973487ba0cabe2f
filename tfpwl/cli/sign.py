"""``tfpwl sign``: an Ed25519 signature over a bundle's manifest."""

from __future__ import annotations

from pathlib import Path

import click

from tfpwl.bundle import sign as sign_bundle
from tfpwl.bundle.store import SIGNATURE_NAME
from tfpwl.cli.arguments import bundle_argument, open_bundle
from tfpwl.cli.progress import stderr_console


@click.command()
@bundle_argument
@click.option(
    "--key", metavar="PEM", required=True, type=click.Path(path_type=Path), help="The Ed25519 private key, unencrypted."
)
def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle: write manifest.sig.

    The signature is over the exact bytes of manifest.json, which carries the sum of every file; all sums are checked
    before. Whatever changes the manifest afterwards removes the signature. Sign before you pack.

    \b
    Example:
      tfpwl sign runs/digits_resnet/bundle --key key.pem
      tfpwl verify runs/digits_resnet/bundle --public-key pub.pem

    \b
    A pair of keys, made once; key.pem stays private, pub.pem goes into apps:
      openssl genpkey -algorithm ed25519 -out key.pem
      openssl pkey -in key.pem -pubout -out pub.pem
    """
    opened = open_bundle(bundle)
    with stderr_console().status("checking every sum"):
        signed = sign_bundle(opened, key)
    click.echo(f"Signed {signed.manifest.name!r}, {len(signed.files())} files: {signed.root / SIGNATURE_NAME}")
