"""A bundle on disk, a folder or a pack: opened with every check that needs no file's content, read with its sums."""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from tfpwl.bundle.archive import LOCAL_MARK, PackStore
from tfpwl.bundle.entries import FileEntry
from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES, Manifest
from tfpwl.bundle.signing import SIGNATURE_BYTES, Key, check_signature
from tfpwl.bundle.store import EXPORT_AGAIN, MANIFEST_NAME, PULLING_NAME, SIGNATURE_NAME, FolderStore, Store
from tfpwl.errors import BundleError, ContractError, IntegrityError, ManifestError, SignatureError
from tfpwl.mix import Mix

MAX_LABELS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """The .tflite files of a bundle and its checked manifest; ``root`` is its folder or its packed file.

    Example:
        >>> bundle = Bundle.open("runs/digits_resnet/bundle")        # doctest: +SKIP
        >>> bundle.manifest.precision, bundle.mix_bytes("SSSS")      # doctest: +SKIP
        ('fp32', 35296)
    """

    root: Path
    manifest: Manifest
    store: Store = field(repr=False, compare=False)
    # What was parsed into `manifest`, byte for byte: what a signature is over.
    manifest_bytes: bytes = field(repr=False)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        public_key: Key | None = None,
        partial: bool | None = None,
    ) -> Bundle:
        """Check the manifest, and that every file it names is a plain file of the right size.

        Checksums are not checked here but by :meth:`read`, so that opening does not read the weights.

        Args:
            path: the bundle's folder, or the file that `tfpwl pack` made of it.
            public_key: demand a signature by the owner of this Ed25519 key (a PEM file, its content, or 32 raw
                bytes). It is checked before the manifest is parsed, on the very bytes that are parsed then.
            partial: whether files beyond the all-student chain may be missing, because they arrive later. By default
                only in a folder that `tfpwl pull` has not finished. A file that is there must be whole; reading a
                missing one raises IntegrityError until it has arrived.

        Raises:
            BundleError: there is nothing at ``path``, or a file that is no pack.
            SignatureError: a signature is demanded, and it is missing or wrong.
            ManifestError: there is no manifest, or it breaks the format.
            IntegrityError: a file is missing, a link, not a plain file, or has another size; or the pack is damaged.
        """
        # Absolute, because an upgrade reads files long after, when the process may work in another folder.
        root = Path(os.path.abspath(path))
        store = _open_store(root)
        text = _read_manifest(root, store)
        if public_key is not None:
            check_signature(text, _read_signature(root, store), public_key)
        bundle = cls(root, Manifest.from_json(text), store, text)
        bundle._check_files(isinstance(store, FolderStore) and store.has(PULLING_NAME) if partial is None else partial)
        return bundle

    def check_signature(self, public_key: Key) -> None:
        """Check ``manifest.sig`` over the bytes that this bundle's manifest was parsed from.

        Raises:
            SignatureError: it is missing or wrong, or the key cannot be used.
        """
        check_signature(self.manifest_bytes, _read_signature(self.root, self.store), public_key)

    @property
    def is_packed(self) -> bool:
        return isinstance(self.store, PackStore)

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature; :meth:`check_signature` tells whether it is right."""
        return self.store.has(SIGNATURE_NAME)

    def missing(self) -> tuple[FileEntry, ...]:
        """The files that have not arrived yet, in the order they are needed; none in a whole bundle."""
        return tuple(entry for entry in self.manifest.load_order() if not self.store.has(entry.file))

    def files(self) -> tuple[FileEntry, ...]:
        """Every .tflite file of the bundle, groups first."""
        return tuple(self.manifest.files())

    def chain(self, mix: str) -> tuple[FileEntry, ...]:
        """The files that run one after another for ``mix``, converters included."""
        return self.manifest.chain(mix)

    def mix_bytes(self, mix: str) -> int:
        """Bytes of the files that ``mix`` needs."""
        return self.manifest.mix_bytes(mix)

    def read(self, entry: FileEntry) -> bytes:
        """The content of a file, read once and checked against the manifest.

        It is a private copy, from a folder as from a pack: whoever writes into the file afterwards changes nothing of
        what was checked.

        Raises:
            IntegrityError: it is missing or unreadable, or its size or SHA-256 is another.
        """
        data = self.store.read(entry.file, limit=entry.bytes, exact=True)
        self._check_sum(entry.file, data, entry.sha256)
        return data

    def view(self, entry: FileEntry) -> memoryview:
        """The content of a file, checked and without a copy: for a pack in place, through a read-only memory map.

        Only for packs that nobody changes while they are open: a map, private or shared, shows what is written into
        the file after its sum was checked, and ends the process (SIGBUS) when the file is cut short. That holds for
        a read-only file system and for a file that this program alone writes and replaces by rename, as ``pack`` and
        ``pull`` do; where it is not sure, use :meth:`read`. For a folder this is a view of :meth:`read`'s copy.

        Raises:
            IntegrityError: as :meth:`read`.
        """
        view = self.store.view(entry.file, entry.bytes)
        self._check_sum(entry.file, view, entry.sha256)
        return view

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The classes' names in the order of the output, or None when the bundle has none.

        Raises:
            IntegrityError: the file cannot be read, or its SHA-256 is another.
            ContractError: it is not UTF-8, or has not one line per class.
        """
        output = self.manifest.output
        if output.labels is None:
            return None
        path = self.root / output.labels
        data = self.read_labels()
        try:
            lines = data.decode("utf-8").splitlines()
        except UnicodeDecodeError as exc:
            raise ContractError(f"{path}: not UTF-8 (byte {exc.start}). Write one class name per line.") from exc
        if len(lines) != output.shape[-1]:
            raise ContractError(f"{path}: received {len(lines)} lines; expected {output.shape[-1]}, one per class.")
        return tuple(lines)

    def read_labels(self) -> bytes:
        """The bytes of the file that ``output.labels`` names, checked where the manifest has their sum."""
        output = self.manifest.output
        if output.labels is None:
            raise BundleError(f"{self.root}: the bundle has no labels.")
        data = self.store.read(output.labels, limit=MAX_LABELS_BYTES)
        if output.labels_sha256 is not None:
            self._check_sum(output.labels, data, output.labels_sha256)
        return data

    def _check_files(self, partial: bool) -> None:
        student = self.chain(Mix.all_student(self.manifest.num_groups))
        for entry in self.files():
            if not partial or entry in student or self.store.has(entry.file):
                self.store.check_size(entry.file, entry.bytes)
        if isinstance(self.store, PackStore):
            named = {MANIFEST_NAME, SIGNATURE_NAME, self.manifest.output.labels, *(e.file for e in self.files())}
            foreign = [name for name in self.store.names() if name not in named]
            if foreign:
                raise IntegrityError(f"{self.root}: holds {foreign[0]}, which the manifest does not name. Pack again.")

    def _check_sum(self, file: str, data: bytes | memoryview, expected: str) -> None:
        received = hashlib.sha256(data).hexdigest()
        if received != expected:
            raise IntegrityError(
                f"{self.root / file}: the content has SHA-256 {received}; the manifest expects {expected}. "
                f"{EXPORT_AGAIN}"
            )


def _open_store(root: Path) -> Store:
    if root.is_dir():
        return FolderStore(root)
    if not root.exists():
        raise BundleError(f"No bundle at {root}: the folder does not exist. {_advice_for_missing(root)}")
    if root.is_file():
        try:
            with root.open("rb") as file:
                packed = file.read(len(LOCAL_MARK)) == LOCAL_MARK
        except OSError as exc:
            raise BundleError(f"{root}: {exc.strerror or exc}; it cannot be read.") from exc
        if packed:
            return PackStore(root)
    raise BundleError(
        f"Received the file {root}; expected the folder that holds {MANIFEST_NAME}, or a bundle packed by `tfpwl pack`."
    )


def _advice_for_missing(root: Path) -> str:
    aside = sorted(root.parent.glob(f".{glob.escape(root.name)}.old-*/{MANIFEST_NAME}"))
    if aside:
        return f"A writer was stopped while it replaced it; the old bundle is {aside[0].parent}. Rename it, or build."
    return "Make one with `tfpwl build`."


def _read_manifest(root: Path, store: Store) -> bytes:
    if not store.has(MANIFEST_NAME):
        if store.has(PULLING_NAME):
            raise ManifestError(f"The student in {root} has not arrived as a whole yet; run `tfpwl pull` again.")
        what = "folder is not a bundle" if isinstance(store, FolderStore) else "pack is not one of a bundle"
        raise ManifestError(f"No {MANIFEST_NAME} in {root}; this {what}. Make one with `tfpwl build`.")
    try:
        return store.read(MANIFEST_NAME, limit=MAX_MANIFEST_BYTES)
    except IntegrityError as exc:
        raise ManifestError(str(exc)) from exc


def _read_signature(root: Path, store: Store) -> bytes:
    if not store.has(SIGNATURE_NAME):
        raise SignatureError(f"{root} is not signed: there is no {SIGNATURE_NAME}. Sign it with `tfpwl sign`.")
    try:
        return store.read(SIGNATURE_NAME, limit=SIGNATURE_BYTES, exact=True)
    except IntegrityError as exc:
        raise SignatureError(str(exc)) from exc
