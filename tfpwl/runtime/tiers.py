"""``tiers.json``: one bundle per kind of device, and what each asks of a device. Read on devices, written by builds.

The parser is complete, as that of a bundle's manifest: :class:`Tiers` that were read kept every rule of the format.
Which tier a device takes is in :mod:`tfpwl.runtime.selection`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

from tfpwl.bundle import Bundle
from tfpwl.bundle.atomic import replace_file
from tfpwl.bundle.entries import PLAIN_NAME, RuntimeHints
from tfpwl.bundle.schema import Document, Node, parse_json, shorten
from tfpwl.bundle.signing import Key
from tfpwl.bundle.store import FolderStore
from tfpwl.errors import IntegrityError, TiersError
from tfpwl.mix import Mix
from tfpwl.runtime.device import read_abis
from tfpwl.runtime.footprint import loaded_bytes

FORMAT = "tfpwl-tiers"
VERSION = 1
TIERS_NAME = "tiers.json"
MAX_TIERS_BYTES = 1 << 18
MAX_TIERS = 32
_TIER_NAME = re.compile("[a-z0-9_-]{1,32}")
_PLACE = re.compile(f"{PLAIN_NAME.pattern}(/{PLAIN_NAME.pattern})?")
_SHA256 = re.compile("[0-9a-f]{64}")
_DOCUMENT = Document("the file tiers.json", TiersError, "build the tiers again")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a tier asks of a device; by default nothing.

    Attributes:
        ram_bytes: memory as the system reports it, less than what is printed on the box.
        cores: processors.
        abis: kinds of native code, of which the device needs one; none: any will do.
        free_bytes: free storage.
        low_ram_allowed: whether devices with Android's low-RAM flag may take it.
        performance_class: Android's media performance class; systems that know none are not asked for it.
    """

    ram_bytes: int = 0
    cores: int = 1
    abis: tuple[str, ...] = ()
    free_bytes: int = 0
    low_ram_allowed: bool = True
    performance_class: int = 0

    @classmethod
    def read(cls, node: Node) -> Requirements:
        node.fields("ram_bytes", "cores", "abis", "free_bytes", "low_ram_allowed", "performance_class")
        return cls(
            node["ram_bytes"].integer(minimum=0),
            node["cores"].integer(minimum=1, maximum=1024),
            read_abis(node["abis"]),
            node["free_bytes"].integer(minimum=0),
            node["low_ram_allowed"].flag(),
            node["performance_class"].integer(minimum=0, maximum=1000),
        )


# A phone sold with 4 GB reports less than 4 GiB, one with 6 GB about 5.4, one with 8 GB more than 7.
DEFAULT_REQUIREMENTS: Mapping[str, Requirements] = MappingProxyType(
    {
        "low": Requirements(),
        "mid": Requirements(ram_bytes=4 << 30, low_ram_allowed=False),
        "high": Requirements(ram_bytes=7 << 30, low_ram_allowed=False, performance_class=33),
    }
)


@dataclass(frozen=True, slots=True)
class TierBytes:
    """Storage that a bundle takes: the whole of it, and the files of its all-student mix."""

    bundle: int
    student: int

    @classmethod
    def read(cls, node: Node) -> TierBytes:
        node.fields("bundle", "student")
        whole = node["bundle"].integer(minimum=1)
        return cls(whole, node["student"].integer(minimum=1, maximum=whole))


@dataclass(frozen=True, slots=True)
class SideBytes:
    """Memory that the all-student and the all-teacher mix take when loaded."""

    student: int
    teacher: int

    @classmethod
    def read(cls, node: Node) -> SideBytes:
        node.fields("student", "teacher")
        return cls(node["student"].integer(minimum=1), node["teacher"].integer(minimum=1))


@dataclass(frozen=True, slots=True)
class Tier:
    """A bundle for one kind of device.

    Attributes:
        name: such as ``"mid"``.
        bundle: the bundle's folder or pack, relative to ``tiers.json``, such as ``"bundles/mid"``.
        manifest_sha256: of the bundle's ``manifest.json``, which has the sums of all its files.
        bytes, resident_bytes: what it takes of storage and memory.
        precision: ``fp32``, ``fp16``, ``int8`` or ``w8``.
        runtime: threads and delegate that it runs best with.
        requires: what it asks of a device.
    """

    name: str
    bundle: str
    manifest_sha256: str
    bytes: TierBytes
    resident_bytes: SideBytes
    precision: str
    runtime: RuntimeHints
    requires: Requirements

    @classmethod
    def read(cls, node: Node) -> Tier:
        node.fields("name", "bundle", "manifest_sha256", "bytes", "resident_bytes", "precision", "runtime", "requires")
        return cls(
            node["name"].matching(_TIER_NAME, "1 to 32 lowercase letters, digits, '_' and '-'"),
            node["bundle"].matching(_PLACE, "a plain name, or two with a slash such as 'bundles/low'"),
            node["manifest_sha256"].matching(_SHA256, "64 lowercase hexadecimal digits"),
            TierBytes.read(node["bytes"]),
            SideBytes.read(node["resident_bytes"]),
            node["precision"].choice("fp32", "fp16", "int8", "w8"),
            RuntimeHints.read(node["runtime"]),
            Requirements.read(node["requires"]),
        )


@dataclass(frozen=True, slots=True)
class Tiers:
    """All of ``tiers.json``.

    Attributes:
        name: of the pipeline or model.
        tiers: one per kind of device.
        order: their names, the best tier first.
        fallback: the tier for devices that meet no tier's demands; None: they get none.
    """

    name: str
    tiers: tuple[Tier, ...]
    order: tuple[str, ...]
    fallback: str | None = None

    def __getitem__(self, name: str) -> Tier:
        """The tier of this name.

        Raises:
            TiersError: there is none.
        """
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise TiersError(f"Received tier {name!r}; expected one of {', '.join(self.order)}.")

    def to_json(self) -> str:
        """The text of the file: sorted keys, so that equal tiers are equal bytes."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Tiers:
        """Parse ``tiers.json`` and check every rule of the format.

        Args:
            text: JSON, at most 256 KiB of UTF-8.

        Raises:
            TiersError: for any malformation, with the JSON path of the place, such as ``tiers[1].bundle``.
        """
        root = parse_json(text, max_bytes=MAX_TIERS_BYTES, document=_DOCUMENT)
        _check_format(root)
        fallback = root.maybe("fallback")
        found = cls(
            root["name"].text(),
            tuple(Tier.read(node) for node in root["tiers"].items(minimum=1)),
            tuple(node.text() for node in root["order"].items()),
            None if fallback is None else fallback.text(),
        )
        _check_names(root, found)
        return found


def read_tiers(path: str | os.PathLike[str]) -> Tiers:
    """The tiers in a file, or in the ``tiers.json`` of a folder.

    Raises:
        TiersError: it is missing, no plain file, or breaks a rule of the format.

    Example:
        >>> read_tiers("runs/digits_tiers").order                                    # doctest: +SKIP
        ('high', 'mid', 'low')
    """
    given = Path(path)
    file = given / TIERS_NAME if given.is_dir() else given
    try:
        text = FolderStore(file.parent).read(file.name, limit=MAX_TIERS_BYTES)
    except IntegrityError as exc:
        raise TiersError(str(exc)) from exc
    return Tiers.from_json(text)


def write_tiers(path: str | os.PathLike[str], tiers: Tiers) -> None:
    """Write ``tiers.json``, or replace it, in one step; nothing is written if it breaks a rule of the format.

    Raises:
        TiersError: it breaks a rule.
        BundleError: it cannot be written.
    """
    try:
        text = tiers.to_json()
    except (TypeError, ValueError) as exc:
        raise TiersError(f"The tiers have a value that JSON cannot hold: {exc}.") from exc
    Tiers.from_json(text)
    replace_file(Path(path), [text.encode()])


def describe_tier(
    name: str,
    bundle: Bundle,
    path: str,
    *,
    requires: Requirements,
    resident_bytes: tuple[int, int] | None = None,
) -> Tier:
    """What ``tiers.json`` says about a bundle.

    Args:
        name: of the tier.
        bundle: the finished bundle; changed later, even signed anew with another manifest, it is another one.
        path: of the bundle relative to ``tiers.json``.
        requires: raised where it asks less cores than the bundle has threads, or less storage than it takes.
        resident_bytes: of the all-student and the all-teacher mix, if measured; estimated from the files otherwise.

    Raises:
        BundleError: the bundle is broken.

    Example:
        >>> tier = describe_tier("low", Bundle.open("out/bundles/low"), "bundles/low",         # doctest: +SKIP
        ...                      requires=DEFAULT_REQUIREMENTS["low"])
    """
    manifest = bundle.manifest
    student, teacher = Mix.all_student(manifest.num_groups), Mix.all_teacher(manifest.num_groups)
    whole = _stored_bytes(bundle)
    if resident_bytes is None:
        resident_bytes = _estimate(bundle, student), _estimate(bundle, teacher)
    return Tier(
        name,
        path,
        hashlib.sha256(bundle.manifest_bytes).hexdigest(),
        TierBytes(whole, manifest.mix_bytes(student)),
        SideBytes(*resident_bytes),
        manifest.precision,
        manifest.runtime,
        replace(
            requires,
            cores=max(requires.cores, manifest.runtime.threads),
            free_bytes=max(requires.free_bytes, whole),
        ),
    )


def open_tier(folder: str | os.PathLike[str], tier: Tier, *, public_key: Key | None = None) -> Bundle:
    """Open a tier's bundle, and see that it is the one that ``tiers.json`` is about.

    Args:
        folder: that of ``tiers.json``.
        tier: one of its tiers.
        public_key: demand a signature, see :meth:`tfpwl.bundle.Bundle.open`.

    Raises:
        TiersError: there is another bundle.
        BundleError: the bundle is broken or missing.
    """
    bundle = Bundle.open(Path(folder) / tier.bundle, public_key=public_key)
    found = hashlib.sha256(bundle.manifest_bytes).hexdigest()
    if found != tier.manifest_sha256:
        raise TiersError(
            f"{bundle.root} is another bundle than the tier {tier.name!r} names: its manifest has the sum {found}, "
            f"expected {tier.manifest_sha256}. Write {TIERS_NAME} again, or fetch the bundle again."
        )
    return bundle


def _stored_bytes(bundle: Bundle) -> int:
    """The pack, or everything in the folder: labels and a signature, too."""
    files = [bundle.root] if bundle.is_packed else [bundle.root / name for name in bundle.store.names()]
    return sum(file.stat().st_size for file in files)


def _estimate(bundle: Bundle, mix: Mix) -> int:
    return sum(loaded_bytes(bundle.read(entry)) for entry in bundle.manifest.chain(mix))


def _check_format(root: Node) -> None:
    """Format and version first: a file of another version may have other keys."""
    if isinstance(root.value, dict) and "format" in root.value and "version" in root.value:
        root["format"].choice(FORMAT)
        version = root["version"].integer(minimum=1)
        if version != VERSION:
            root["version"].fail(f"received {version}; this tfpwl reads {VERSION}. Update tfpwl or build again")
    root.fields("format", "version", "name", "order", "tiers", optional=("fallback",))


def _check_names(root: Node, found: Tiers) -> None:
    """Names and bundles stand once, and ``order`` and ``fallback`` speak of these tiers."""
    names = [tier.name for tier in found.tiers]
    if len(names) > MAX_TIERS:
        root["tiers"].fail(f"received {len(names)} members; expected at most {MAX_TIERS}")
    _check_once(root, "name", names)
    # Folders on some systems do not tell cases apart.
    _check_once(root, "bundle", [tier.bundle.lower() for tier in found.tiers])
    if sorted(found.order) != sorted(names):
        received = shorten(str(list(found.order)))
        root["order"].fail(f"received {received}; expected each of {', '.join(names)} once, the best tier first")
    if found.fallback is not None and found.fallback not in names:
        received = shorten(repr(found.fallback))
        root["fallback"].fail(f"received {received}; expected null or one of {', '.join(names)}")


def _check_once(root: Node, key: str, values: Sequence[str]) -> None:
    for i, (node, value) in enumerate(zip(root["tiers"].items(), values, strict=True)):
        if value in values[:i]:
            node[key].fail(f"{value!r} stands twice; each tier needs its own")
