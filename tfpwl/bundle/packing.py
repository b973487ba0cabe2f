"""A bundle as one file: an uncompressed zip whose members can be read, or mapped, where they lie.

The layout: ``manifest.json`` first, then the signature, the labels and the .tflite files in load order, so that reading
the file from front to back brings the student first. Each member's data begin at a multiple of 16 KiB (the extra field
of its local header is as long as that takes, as zipalign does it), so that Android can map it inside an asset that
lies aligned in the APK. Dates are fixed: the same bundle gives the same bytes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from tfpwl.bundle.archive import CENTRAL, CENTRAL_MARK, END, END_MARK, LOCAL, LOCAL_MARK, PAGE
from tfpwl.bundle.atomic import replace_file, write_folder
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.signing import SIGNATURE_BYTES, Key
from tfpwl.bundle.store import MANIFEST_NAME, SIGNATURE_NAME
from tfpwl.errors import BundleError

PACK_SUFFIX = ".tfpwl"
_VERSION = 10  # of the zip format: 1.0, stored files
_DATE = (1 << 5) | 1  # 1980-01-01, the first day that a zip can hold
_UNIX_FILE = 0o100644 << 16
# Android's "alignment" extra field: id, length, alignment, zeros.
_PADDING = struct.Struct("<3H")
_PADDING_ID = 0xD935
_MAX_PACK_BYTES = (1 << 32) - (1 << 20)  # beyond, a zip needs the zip64 extension, which our reader refuses


def pack(bundle: Bundle | str | os.PathLike[str], path: str | os.PathLike[str]) -> Bundle:
    """Write a bundle's folder as one file, or replace the pack that is there; every sum is checked on the way.

    Args:
        bundle: an open bundle or its folder.
        path: the file to write, by custom with the suffix ``.tfpwl``.

    Returns:
        The packed bundle, opened; it can be used wherever a folder can.

    Raises:
        BundleError: the bundle is broken, is a pack already or has more than 4 GB, or ``path`` is something else than
            a pack or cannot be written.

    Example:
        >>> pack("runs/digits_resnet/bundle", "digits.tfpwl").mix_bytes("SSSS")     # doctest: +SKIP
        35296
    """
    opened = Bundle.open(bundle.root if isinstance(bundle, Bundle) else bundle, partial=False)
    if opened.is_packed:
        raise BundleError(f"{opened.root} is packed already.")
    target = Path(os.path.abspath(path))
    _check_target(target)
    _ = opened.labels  # refused here rather than by those who open the pack
    num_members = len(opened.files()) + 3
    if sum(entry.bytes for entry in opened.files()) + 2 * PAGE * num_members > _MAX_PACK_BYTES:
        raise BundleError(f"{opened.root} has more than a zip without extensions can hold (4 GB). Use the folder.")
    replace_file(target, _zip_chunks(_contents(opened)))
    return Bundle.open(target)


def unpack(path: str | os.PathLike[str], folder: str | os.PathLike[str], *, public_key: Key | None = None) -> Bundle:
    """Write a packed bundle's files into a folder, or replace the bundle that is there; every sum is checked.

    The folder holds, byte for byte, what was packed.

    Args:
        path: the packed file.
        folder: may be missing, empty or a bundle.
        public_key: demand a signature, as in :meth:`Bundle.open`.

    Returns:
        The bundle in the folder, opened.

    Raises:
        BundleError: the pack is broken, or the folder holds something else or cannot be written.
    """
    opened = Bundle.open(path, public_key=public_key)
    if not opened.is_packed:
        raise BundleError(f"{opened.root} is a folder; expected a file made by `tfpwl pack`.")
    _ = opened.labels
    root = Path(os.path.abspath(folder))
    write_folder(root, ((n, data) for n, data in _contents(opened) if n != MANIFEST_NAME), opened.manifest_bytes)
    return Bundle.open(root)


def _contents(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    """Names and checked bytes, one at a time, in the order of a pack."""
    yield MANIFEST_NAME, bundle.manifest_bytes
    if bundle.is_signed:
        yield SIGNATURE_NAME, bundle.store.read(SIGNATURE_NAME, limit=SIGNATURE_BYTES, exact=True)
    if bundle.manifest.output.labels is not None:
        yield bundle.manifest.output.labels, bundle.read_labels()
    for entry in bundle.manifest.load_order():
        yield entry.file, bundle.read(entry)


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise BundleError(f"{target} is a folder; give a file name such as {target.name}{PACK_SUFFIX}.")
    if not target.parent.is_dir():
        raise BundleError(f"{target.parent} does not exist; make the folder first.")
    if os.path.lexists(target) and not _is_pack(target):
        raise BundleError(f"{target} exists and is no pack, so it is left alone. Give another name.")


def _is_pack(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(LOCAL.size + len(MANIFEST_NAME))
    return start.startswith(LOCAL_MARK) and start.endswith(MANIFEST_NAME.encode())


def _zip_chunks(contents: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
    """The zip's bytes, a member at a time."""
    at, num_members, directory = 0, 0, b""
    for name, data in contents:
        raw, sums = name.encode("ascii"), (zlib.crc32(data), len(data), len(data))
        head = LOCAL.size + len(raw)
        padding = -(at + head + _PADDING.size) % PAGE
        extra = _PADDING.pack(_PADDING_ID, 2 + padding, PAGE) + bytes(padding)
        yield LOCAL.pack(LOCAL_MARK, _VERSION, 0, 0, 0, _DATE, *sums, len(raw), len(extra)) + raw + extra + data
        # The padding is the local header's alone; the directory need not carry it.
        directory += CENTRAL.pack(
            CENTRAL_MARK, (3 << 8) | _VERSION, _VERSION, 0, 0, 0, _DATE, *sums, len(raw), 0, 0, 0, 0, _UNIX_FILE, at
        ) + raw  # fmt: skip
        at += head + len(extra) + len(data)
        num_members += 1
    yield directory + END.pack(END_MARK, 0, 0, num_members, num_members, len(directory), at, 0)
