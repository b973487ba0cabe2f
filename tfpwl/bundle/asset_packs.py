"""Bundles as Play asset packs: the student comes with the app, the rest of the files after it.

What is written are two modules of an Android project, each with a ``build.gradle`` and its assets::

    digits_student/build.gradle                                 install-time
    digits_student/src/main/assets/digits/manifest.json …       all that the all-student mix needs
    digits_teacher/build.gradle                                 fast-follow, or on-demand
    digits_teacher/src/main/assets/digits/g0.teacher.tflite …   the rest

With bundles for several device groups, each group's files lie in a folder of their own, ``digits#group_low``; Play
gives a device those of its group, in a folder without the suffix.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfpwl.bundle.atomic import as_bundle_error
from tfpwl.bundle.entries import FileEntry
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.signing import SIGNATURE_BYTES
from tfpwl.bundle.store import MANIFEST_NAME, SIGNATURE_NAME
from tfpwl.errors import BundleError

Delivery = Literal["fast-follow", "on-demand"]
_GRADLE = """plugins {{
    id 'com.android.asset-pack'
}}

assetPack {{
    packName = "{pack}"
    dynamicDelivery {{
        deliveryType = "{delivery}"
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class AssetPack:
    """A module that was written: its name, when devices get it, the bytes of its largest device group."""

    name: str
    delivery: str
    num_bytes: int


def write_asset_packs(
    bundles: Mapping[str, Bundle],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    delivery: Delivery = "fast-follow",
) -> tuple[AssetPack, AssetPack]:
    """Write the modules of an app's student and teacher pack; every sum is checked on the way.

    Args:
        bundles: by device group; under ``""`` the only one, which every device gets.
        folder: of the modules; must not exist yet.
        name: of the packs and of the folder among the assets; that of the bundles by default. What a pack's name cannot
            have becomes ``_``.
        delivery: of the teacher: ``"fast-follow"`` right after the installation, ``"on-demand"`` when the app asks.

    Returns:
        The student's pack and the teacher's.

    Raises:
        BundleError: a bundle is broken, ``folder`` exists or cannot be written, or ``name`` cannot be a pack's.

    Example:
        >>> write_asset_packs({"": Bundle.open("runs/digits_resnet/bundle")}, "packs")  # doctest: +SKIP
    """
    target = Path(os.path.abspath(folder))
    first = next(iter(bundles.values()))
    stem = re.sub(r"[^A-Za-z0-9_]", "_", first.manifest.name if name is None else name)
    if not re.match("[A-Za-z]", stem):
        raise BundleError(f"Received {name or stem!r} for the packs' name; expected one that begins with a letter.")
    if os.path.lexists(target):
        raise BundleError(f"{target} exists, so it is left alone. Give another folder, or delete it.")
    with as_bundle_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            packs = (
                _write_pack(temporary, stem, "student", "install-time", bundles),
                _write_pack(temporary, stem, "teacher", delivery, bundles),
            )
            temporary.chmod(0o755)
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return packs


def _write_pack(folder: Path, stem: str, side: str, delivery: str, bundles: Mapping[str, Bundle]) -> AssetPack:
    module = folder / f"{stem}_{side}"
    sizes = []
    for group, bundle in bundles.items():
        assets = module / "src" / "main" / "assets" / (f"{stem}#group_{group}" if group else stem)
        assets.mkdir(parents=True)
        student = set(bundle.chain("S" * bundle.manifest.num_groups))
        wanted = [entry for entry in bundle.manifest.load_order() if (entry in student) == (side == "student")]
        sizes.append(_write_files(assets, bundle, wanted, with_manifest=side == "student"))
    (module / "build.gradle").write_text(_GRADLE.format(pack=module.name, delivery=delivery), "utf-8")
    return AssetPack(module.name, delivery, max(sizes))


def _write_files(folder: Path, bundle: Bundle, entries: list[FileEntry], *, with_manifest: bool) -> int:
    """Returns the bytes that were written."""
    contents = {entry.file: bundle.read(entry) for entry in entries}
    if with_manifest:
        contents[MANIFEST_NAME] = bundle.manifest_bytes
        if bundle.is_signed:
            contents[SIGNATURE_NAME] = bundle.store.read(SIGNATURE_NAME, limit=SIGNATURE_BYTES, exact=True)
        if bundle.manifest.output.labels is not None:
            contents[bundle.manifest.output.labels] = bundle.read_labels()
    for file, data in contents.items():
        (folder / file).write_bytes(data)
    return sum(map(len, contents.values()))
