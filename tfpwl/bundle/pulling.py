"""Fetching a bundle from a web server in load order, so that an app can answer while the teacher is on its way.

What is in the folder while it arrives:

- ``.pulling`` from the first byte to the last: the mark that files may be missing;
- ``.NAME.part``: a file on its way; it gets its name when its sum is right;
- ``manifest.json``, put in place when the all-student chain is whole. From then on ``Bundle.open`` opens the folder.

So a folder with a manifest always answers, and a file under its own name is always whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfpwl.bundle.atomic import as_bundle_error, check_foreign, locked, sync_folder
from tfpwl.bundle.entries import FileEntry
from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES, Manifest
from tfpwl.bundle.reader import MAX_LABELS_BYTES, Bundle
from tfpwl.bundle.signing import SIGNATURE_BYTES, Key, check_signature, load_public_key
from tfpwl.bundle.store import MANIFEST_NAME, PULLING_NAME, SIGNATURE_NAME
from tfpwl.errors import BundleError, IntegrityError, PullError, SignatureError
from tfpwl.mix import Mix

if TYPE_CHECKING:
    from tfpwl.bundle.download import Remote


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is: bytes of .tflite files, and the best mix of the path whose files are all there.

    ``mix`` is None until the student is whole; from then on the folder can be opened.
    """

    file: str
    done_bytes: int
    total_bytes: int
    mix: Mix | None


def pull(
    url: str,
    folder: str | os.PathLike[str],
    *,
    public_key: Key | None = None,
    on_progress: Callable[[PullProgress], object] | None = None,
    timeout: float = 30.0,
    retries: int = 5,
) -> Bundle:
    """Fetch a bundle, or what is missing of it, into a folder; the student first, then along the manifest's order.

    Bytes are checked while they arrive, and a file gets its name when its SHA-256 is right. After an interruption of
    any kind the same call goes on where it stopped (Range requests; a file starts over where the server has none).
    Files that are there are checked, too, so a second call on a whole bundle is a check that fetches the manifest.
    If the server's bundle has changed since the folder was begun, what differs is fetched anew, and until the new
    student is whole the folder cannot be opened. A finished bundle is never changed: pull the new one beside it.

    Args:
        url: of the folder that holds ``manifest.json``, over HTTP or HTTPS.
        folder: may be missing, empty, or hold an earlier pull of this bundle.
        public_key: demand a signature, which is checked before anything but manifest and signature is fetched.
        on_progress: called in this thread, at least once per file and about every 64 kB. What it raises ends the
            pull, as a way to cancel it.
        timeout: seconds without a byte after which a connection counts as dead.
        retries: how often in a row a request is tried again in vain, with growing pauses (0.5, 1, 2, … s).

    Returns:
        The bundle, whole.

    Raises:
        PullError: the server does not answer, refuses, or has no such file.
        SignatureError: a signature is demanded, and it is missing or wrong.
        ManifestError: what the server has is no manifest.
        IntegrityError: a file on the server is not what the manifest says.
        BundleError: the folder holds something else, cannot be written, or another pull is at work in it.

    Example:
        >>> def opened(progress: PullProgress) -> None:                             # doctest: +SKIP
        ...     if progress.mix is not None:
        ...         student_is_there.set()          # ProgressiveModel.open(folder) answers from now on
        >>> pull("https://example.org/digits", "models/digits", on_progress=opened)  # doctest: +SKIP
    """
    # Here and not above: urllib takes 0.05 s to import, and most apps never fetch.
    from tfpwl.bundle.download import Remote  # noqa: PLC0415

    remote = Remote(url, timeout, retries)
    root = Path(os.path.abspath(folder))
    if public_key is not None:
        load_public_key(public_key)  # a key that cannot be used is told before the network is
    text, signature = _fetch_manifest(remote, public_key)
    work = _Pull(remote, root, text, signature, on_progress or (lambda progress: None))
    with as_bundle_error(root):
        check_foreign(root, known=work.names)
        root.mkdir(parents=True, exist_ok=True)
        try:
            with locked(root, wait=False):
                work.run()
        except BlockingIOError as exc:
            raise BundleError(f"Another pull is at work in {root}; wait for it, or give another folder.") from exc
    return Bundle.open(root, public_key=public_key)


def _fetch_manifest(remote: Remote, public_key: Key | None) -> tuple[bytes, bytes | None]:
    text = remote.get_small(MANIFEST_NAME, limit=MAX_MANIFEST_BYTES)
    if text is None:
        raise PullError(f"{remote.file_url(MANIFEST_NAME)}: no such file; expected the URL of a bundle's folder.")
    signature = remote.get_small(SIGNATURE_NAME, limit=SIGNATURE_BYTES)
    if public_key is not None:
        if signature is None:
            raise SignatureError(f"{remote.url}: the bundle is not signed; there is no {SIGNATURE_NAME}.")
        check_signature(text, signature, public_key)
    return text, signature


class _Pull:
    """One bundle on its way into a folder that nobody else pulls into."""

    def __init__(
        self,
        remote: Remote,
        root: Path,
        text: bytes,
        signature: bytes | None,
        on_progress: Callable[[PullProgress], object],
    ) -> None:
        self._remote, self._root, self._text, self._signature = remote, root, text, signature
        self._on_progress = on_progress
        self._manifest = Manifest.from_json(text)
        self.names = {entry.file for entry in self._manifest.files()} | {self._manifest.output.labels or ""}
        self._mix: Mix | None = None
        self._total = sum(entry.bytes for entry in self._manifest.files())
        self._whole: set[str] = set()
        self._whole_bytes = 0

    def run(self) -> None:
        files = self._manifest.load_order()
        student = self._manifest.chain(Mix.all_student(self._manifest.num_groups))
        self._begin()
        self._fetch_labels()
        for entry in files:
            self._fetch(entry)
            if len(self._whole) == len(student):
                # The student's files are the first ones: from here on the folder can be opened.
                self._place(MANIFEST_NAME, self._text)
            self._mix = self._best_mix()
            self._tell(entry.file, 0)
        for part in self._root.glob(".*.part"):
            part.unlink()
        (self._root / PULLING_NAME).unlink(missing_ok=True)
        sync_folder(self._root)

    def _begin(self) -> None:
        """Mark the folder; give up a manifest and files that are not those of the server."""
        manifest, mark = self._root / MANIFEST_NAME, self._root / PULLING_NAME
        same = manifest.is_file() and manifest.read_bytes() == self._text
        if os.path.lexists(manifest) and not same and not mark.exists():
            raise BundleError(
                f"{self._root} holds another bundle, whole, which may be in use. Pull into a new one and switch over."
            )
        self._place(PULLING_NAME, f"{self._remote.url}\n".encode())
        if not same:
            manifest.unlink(missing_ok=True)
            for old in self._root.glob("*.tflite"):
                if old.name not in self.names:
                    old.unlink()
        sync_folder(self._root)
        if self._signature is None:
            (self._root / SIGNATURE_NAME).unlink(missing_ok=True)
        else:
            self._place(SIGNATURE_NAME, self._signature)

    def _fetch_labels(self) -> None:
        output = self._manifest.output
        if output.labels is None:
            return
        data = self._remote.get_small(output.labels, limit=MAX_LABELS_BYTES)
        if data is None:
            raise PullError(f"{self._remote.file_url(output.labels)}: there is no such file; the manifest names it.")
        if output.labels_sha256 is not None and hashlib.sha256(data).hexdigest() != output.labels_sha256:
            raise IntegrityError(
                f"{self._remote.file_url(output.labels)}: has another SHA-256 than the manifest expects. "
                "The server's bundle is damaged or is being replaced; try again later."
            )
        self._place(output.labels, data)

    def _fetch(self, entry: FileEntry) -> None:
        path, part = self._root / entry.file, self._root / f".{entry.file}.part"
        if not self._is_right(path, entry):
            if path.is_dir() and not path.is_symlink():
                raise BundleError(f"{path} is a folder; expected a file or nothing. Delete it.")
            path.unlink(missing_ok=True)
            self._remote.get_file(entry, part, lambda done: self._tell(entry.file, done))
            os.replace(part, path)
            sync_folder(self._root)
        self._whole.add(entry.file)
        self._whole_bytes += entry.bytes

    def _is_right(self, path: Path, entry: FileEntry) -> bool:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256

    def _place(self, name: str, data: bytes) -> None:
        part = self._root / f".{name}.part"
        with suppress(FileNotFoundError):
            part.unlink()
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._root / name)
        sync_folder(self._root)

    def _best_mix(self) -> Mix | None:
        """The furthest mix of the path whose files are all there."""
        steps = [(entry.mix, self._manifest.chain(entry.mix)) for entry in self._manifest.path]
        ready = [mix for mix, chain in steps if all(entry.file in self._whole for entry in chain)]
        return ready[-1] if ready else None

    def _tell(self, file: str, done: int) -> None:
        self._on_progress(PullProgress(file, self._whole_bytes + done, self._total, self._mix))
