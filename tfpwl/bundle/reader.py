"""A bundle on disk: opened with every check that needs no file's content, read with its checksums."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest
from tfpwl.errors import BundleError, ContractError, IntegrityError, ManifestError

MANIFEST_NAME = "manifest.json"
MAX_LABELS_BYTES = 1 << 20
_EXPORT_AGAIN = "Copy the bundle again or export it again."
# O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder of .tflite files and its checked manifest.

    Example:
        >>> bundle = Bundle.open("runs/digits_resnet/bundle")        # doctest: +SKIP
        >>> bundle.manifest.precision, bundle.mix_bytes("SSSS")      # doctest: +SKIP
        ('fp32', 35296)
    """

    root: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Bundle:
        """Check the manifest, and that every file it names is a plain file of the right size.

        Checksums are not checked here but by :meth:`read`, so that opening does not read the weights.

        Raises:
            BundleError: the folder is missing, or is a file.
            ManifestError: there is no manifest, or it breaks the format.
            IntegrityError: a file is missing, a link, not a plain file, or has another size.
        """
        # Absolute, because an upgrade reads files long after, when the process may work in another folder.
        root = Path(os.path.abspath(folder))
        if not root.exists():
            raise BundleError(f"No bundle at {root}: the folder does not exist. Make one with `tfpwl build`.")
        if not root.is_dir():
            raise BundleError(f"Received the file {root}; expected the folder that holds {MANIFEST_NAME}.")
        bundle = cls(root, Manifest.from_json(_read_manifest(root)))
        for entry in bundle.files():
            check_size(bundle.root / entry.file, entry.bytes)
        return bundle

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

        Raises:
            IntegrityError: it is missing or unreadable, or its size or SHA-256 is another.
        """
        path = self.root / entry.file
        data = _read_plain_file(path, entry.bytes)
        received = hashlib.sha256(data).hexdigest()
        if received != entry.sha256:
            raise IntegrityError(
                f"{path}: the content has SHA-256 {received}; the manifest expects {entry.sha256}. {_EXPORT_AGAIN}"
            )
        return data

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The classes' names in the order of the output, or None when the bundle has none.

        Raises:
            IntegrityError: the file cannot be read.
            ContractError: it is not UTF-8, or has not one line per class.
        """
        output = self.manifest.output
        if output.labels is None:
            return None
        path = self.root / output.labels
        try:
            lines = _read_plain_file(path, None, limit=MAX_LABELS_BYTES).decode("utf-8").splitlines()
        except UnicodeDecodeError as exc:
            raise ContractError(f"{path}: not UTF-8 (byte {exc.start}). Write one class name per line.") from exc
        if len(lines) != output.shape[-1]:
            raise ContractError(f"{path}: received {len(lines)} lines; expected {output.shape[-1]}, one per class.")
        return tuple(lines)


def check_size(path: Path, expected: int) -> None:
    """Check without opening that ``path`` is a plain file (no link) of ``expected`` bytes.

    Raises:
        IntegrityError: when it is not.
    """
    try:
        status = path.lstat()
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror or exc}; the manifest expects this file. {_EXPORT_AGAIN}") from exc
    _check_status(path, status, expected)


def _check_status(path: Path, status: os.stat_result, expected: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "a folder" if stat.S_ISDIR(status.st_mode) else "special"
        raise IntegrityError(f"{path}: is {kind}; expected a plain file. {_EXPORT_AGAIN}")
    if expected is not None and status.st_size != expected:
        raise IntegrityError(f"{path}: has {status.st_size} bytes; the manifest expects {expected}. {_EXPORT_AGAIN}")


def _read_plain_file(path: Path, expected: int | None, *, limit: int = 0) -> bytes:
    limit = limit if expected is None else expected
    try:
        _check_status(path, path.lstat(), expected)
        with open(os.open(path, _OPEN_FLAGS), "rb") as file:
            _check_status(path, os.fstat(file.fileno()), expected)
            data = file.read(limit + 1)
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror or exc}; it cannot be read. {_EXPORT_AGAIN}") from exc
    if len(data) > limit or (expected is not None and len(data) != expected):
        wanted = f"at most {limit}" if expected is None else expected
        raise IntegrityError(f"{path}: gave {len(data)} bytes; expected {wanted}. {_EXPORT_AGAIN}")
    return data


def _read_manifest(root: Path) -> bytes:
    path = root / MANIFEST_NAME
    if not os.path.lexists(path):
        raise ManifestError(f"No {MANIFEST_NAME} in {root}; this folder is not a bundle. Make one with `tfpwl build`.")
    try:
        return _read_plain_file(path, None, limit=MAX_MANIFEST_BYTES)
    except IntegrityError as exc:
        raise ManifestError(str(exc)) from exc
