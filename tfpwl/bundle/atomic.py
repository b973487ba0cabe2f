"""Whole folders and files in one step or not at all, and what killed writers left behind."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tfpwl.bundle.manifest import FORMAT, MAX_MANIFEST_BYTES
from tfpwl.bundle.store import MANIFEST_NAME, PULLING_NAME, SIGNATURE_NAME
from tfpwl.errors import BundleError

try:
    import fcntl
except ImportError:  # not on Windows; there two writers of one bundle are not kept apart
    fcntl = None  # type: ignore[assignment]

LABELS_NAME = "labels.txt"
# What tempfile adds to a prefix.
_RANDOM = "[a-z0-9_]{8}"


def write_folder(root: Path, contents: Iterable[tuple[str, bytes]], manifest: bytes) -> None:
    """Write a bundle's folder, or replace the bundle that is there; on failure the old one stays as it was.

    One writer at a time works in a parent folder, so what looks like another's leftover is one: it is cleared away,
    and a bundle that a killed writer had put aside is put back first.

    Raises:
        BundleError: the folder holds something else than a bundle, or cannot be written.
    """
    with as_bundle_error(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        with locked(root.parent):
            _recover(root)
            check_foreign(root)
            temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}.tmp-", dir=root.parent))
            try:
                for file, data in contents:
                    _write_new(temporary / file, data)
                # Last, so that a folder with a manifest is a whole bundle.
                _write_new(temporary / MANIFEST_NAME, manifest)
                temporary.chmod(0o755)
                sync_folder(temporary)
                _move_into_place(temporary, root)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


def replace_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file, or replace it, in one step.

    Raises:
        BundleError: it cannot be written.
    """
    with as_bundle_error(path), locked(path.parent):
        for stale in _leftovers(path.parent, f".{path.name}."):
            stale.unlink(missing_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                for chunk in chunks:
                    _write_through(file, chunk)
            Path(temporary).chmod(0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep other writers out of ``folder``; the system lets go of the lock when its holder dies.

    Raises:
        BlockingIOError: with ``wait=False``, when another one works there.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as exc:
            # Some network file systems have no locks; a single writer needs none.
            if exc.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL):
                raise
        yield
    finally:
        os.close(descriptor)


@contextmanager
def as_bundle_error(path: Path) -> Iterator[None]:
    """Turn an OSError into a BundleError that names ``path``."""
    try:
        yield
    except OSError as exc:
        raise BundleError(f"Cannot write the bundle {path}: {exc}. Check permissions and free space.") from exc


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` last; only POSIX systems can open a folder to do so."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_ours(name: str) -> bool:
    """Whether a file of this name may stand in a bundle's folder, leftovers of killed writers and pulls included."""
    own = {MANIFEST_NAME, SIGNATURE_NAME, LABELS_NAME, PULLING_NAME}
    leftover = name.startswith((f".{MANIFEST_NAME}.", f".{SIGNATURE_NAME}.")) or _is_part(name)
    return name in own or name.endswith(".tflite") or leftover


def _is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def check_foreign(root: Path, known: Collection[str] = ()) -> None:
    """Refuse a folder that is neither missing, nor empty, nor a bundle (whose files may have the names ``known``).

    Raises:
        BundleError: when it is something else, which is left alone.
    """
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise BundleError(f"{root} is a {'link' if root.is_symlink() else 'file'}; give a folder for the bundle.")
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    foreign = [name for name in names if not is_ours(name) and name not in known]
    if foreign or (names and PULLING_NAME not in names and not _tells_our_format(root / MANIFEST_NAME)):
        reason = f"it holds {foreign[0]!r}" if foreign else f"no {MANIFEST_NAME} of a bundle"
        raise BundleError(
            f"{root} is not empty and not a bundle ({reason}), so it is left alone. "
            "Give another folder, or empty this one."
        )


def _tells_our_format(manifest: Path) -> bool:
    """Whether this is, or was before it was damaged, a bundle's manifest; web apps have a manifest.json, too."""
    if not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return f'"{FORMAT}"'.encode() in file.read(MAX_MANIFEST_BYTES)


def _leftovers(parent: Path, prefix: str) -> list[Path]:
    pattern = re.compile(re.escape(prefix) + _RANDOM)
    return sorted(path for path in parent.iterdir() if pattern.fullmatch(path.name) and not path.is_symlink())


def _recover(root: Path) -> None:
    """Put back the bundle that a writer killed between its two renames had put aside, and clear the rest away."""
    aside = [path for path in _leftovers(root.parent, f".{root.name}.old-") if path.is_dir()]
    for old in aside:
        if not root.exists() and _tells_our_format(old / MANIFEST_NAME):
            os.rename(old, root)
    for stale in (*aside, *_leftovers(root.parent, f".{root.name}.tmp-")):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)


def _move_into_place(temporary: Path, root: Path) -> None:
    """Rename over an empty or missing folder; put an old bundle aside first and back if that fails."""
    if not root.is_dir() or not any(root.iterdir()):
        os.rename(temporary, root)
        sync_folder(root.parent)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{root.name}.old-", dir=root.parent))
    # No portable call exchanges two folders: for the time of one rename the bundle stands in `aside` only.
    try:
        os.rename(root, aside)
        os.rename(temporary, root)
    except BaseException:
        if root.exists():
            with suppress(OSError):
                aside.rmdir()
        else:
            os.rename(aside, root)
        raise
    sync_folder(root.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        _write_through(file, data)


def _write_through(file: Any, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
