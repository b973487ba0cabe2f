"""Writing a bundle: all checks before the first byte, then a whole folder in one step or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfpwl.bundle.assemble import assemble_manifest
from tfpwl.bundle.entries import ByMix
from tfpwl.bundle.manifest import FORMAT, MAX_MANIFEST_BYTES, FileEntry, Manifest, Preprocess, Producer, RuntimeHints
from tfpwl.bundle.reader import MANIFEST_NAME, Bundle
from tfpwl.errors import BundleError, ManifestError
from tfpwl.mix import prefix_order

LABELS_NAME = "labels.txt"


def write_bundle(
    folder: str | os.PathLike[str],
    *,
    files: Mapping[str, bytes],
    name: str,
    precision: str,
    producer: Producer,
    preprocess: Preprocess,
    kind: str = "logits",
    labels: Sequence[str] | None = None,
    tier: str | None = None,
    order: Sequence[int] | None = None,
    accuracy: ByMix | None = None,
    latency_ms: ByMix | None = None,
    runtime: RuntimeHints | None = None,
) -> Bundle:
    """Write a bundle's folder, or replace the bundle that is there; on failure the old one stays as it was.

    Shapes, dtypes, scales and the oldest runtime are read from the files themselves, so that the manifest cannot
    say another thing than they do. Same arguments, same bytes.

    Args:
        folder: where the bundle shall be; it may be missing, empty or a bundle.
        files: .tflite bytes by stem: ``g0.student``, ``g0.teacher``, ``b0.encoder``, ``b0.decoder``, ``g1.student``, …
        name: of the pipeline or model.
        precision: ``fp32``, ``fp16``, ``int8`` or ``w8``.
        producer: versions and the configuration's SHA-256.
        preprocess: how raw input becomes model input.
        kind: of the output, ``logits`` or ``probabilities``.
        labels: one name per class; written as ``labels.txt``.
        tier: device class, if the bundle is made for one.
        order: in which teacher groups replace student groups; 0, 1, 2, … by default.
        accuracy: measured fractions 0..1 by mix; for mixes of the path.
        latency_ms: measured milliseconds per answer by mix; for mixes of the path.
        runtime: threads and delegate; one thread and XNNPACK by default.

    Returns:
        The bundle, opened.

    Raises:
        ContractError: a file breaks a contract, or a file is missing or superfluous.
        ManifestError: an argument breaks a rule of the format.
        BundleError: the folder holds something else than a bundle, or cannot be written.

    Example:
        >>> bundle = write_bundle("out/bundle", files=files, name="digits", precision="fp32",   # doctest: +SKIP
        ...                       producer=Producer("0.1.0", "2.21.0", sha),
        ...                       preprocess=Preprocess(1 / 16, (0.0,), (1.0,)))
    """
    root = Path(os.path.abspath(folder))
    contents = {f"{stem}.tflite": bytes(data) for stem, data in files.items()}
    num_groups = sum(stem.endswith(".student") for stem in files)
    manifest = assemble_manifest(
        files,
        {file: FileEntry(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items()},
        name=name,
        precision=precision,
        producer=producer,
        preprocess=preprocess,
        kind=kind,
        labels=None if labels is None else LABELS_NAME,
        tier=tier,
        order=tuple(prefix_order(num_groups) if order is None else order),
        accuracy=accuracy or {},
        latency_ms=latency_ms or {},
        runtime=runtime or RuntimeHints(),
    )
    if labels is not None:
        contents[LABELS_NAME] = _labels_text(labels, manifest.output.shape[-1])
    _write_folder(root, contents, manifest.to_json().encode())
    return Bundle.open(root)


def update_manifest(bundle: Bundle, **changes: Any) -> Bundle:
    """Replace fields of a bundle's manifest, in one step; the files stay.

    To record what an evaluation measured, give a new ``path``. A new ``order`` without a ``path`` walks the new path
    and keeps what was measured for mixes that are on both.

    Args:
        bundle: the bundle to change on disk; this object itself stays as it is.
        **changes: fields of :class:`Manifest`.

    Returns:
        The bundle with its new manifest.

    Raises:
        ManifestError: the changed manifest breaks a rule of the format, or there is no such field.
        BundleError: it cannot be written.

    Example:
        >>> path = bundle.manifest.walk((2, 1, 0), accuracy={"SSS": 0.87})           # doctest: +SKIP
        >>> bundle = update_manifest(bundle, order=(2, 1, 0), path=path)             # doctest: +SKIP
    """
    unknown = sorted(set(changes) - set(Manifest.__dataclass_fields__))
    if unknown:
        raise ManifestError(f"Received {unknown}; a manifest has {', '.join(Manifest.__dataclass_fields__)}.")
    if "order" in changes and "path" not in changes:
        changes["path"] = _walk_again(bundle.manifest, changes["order"])
    changed = replace(bundle.manifest, **changes)
    text = changed.to_json().encode()
    manifest = Manifest.from_json(text)
    with _as_bundle_error(bundle.root):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{MANIFEST_NAME}.", dir=bundle.root)
        try:
            with open(descriptor, "wb") as file:
                _write_through(file, text)
            Path(temporary).chmod(0o644)
            os.replace(temporary, bundle.root / MANIFEST_NAME)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(bundle.root)
    return Bundle(bundle.root, manifest)


def _walk_again(manifest: Manifest, order: Sequence[int]) -> tuple[Any, ...]:
    accuracy = {str(entry.mix): entry.accuracy for entry in manifest.path if entry.accuracy is not None}
    latency = {str(entry.mix): entry.latency_ms for entry in manifest.path if entry.latency_ms is not None}
    try:
        return manifest.walk(order, accuracy, latency)
    except ValueError as exc:
        raise ManifestError(f"order: {exc}") from exc


def _labels_text(labels: Sequence[str], num_classes: int) -> bytes:
    if len(labels) != num_classes:
        raise ManifestError(f"labels: received {len(labels)} names; expected {num_classes}, one per class.")
    for label in labels:
        if not label or not label.isprintable():
            raise ManifestError(f"labels: received {label!r}; a name is one line of printable text.")
    return "".join(f"{label}\n" for label in labels).encode()


def _write_folder(root: Path, contents: Mapping[str, bytes], manifest: bytes) -> None:
    with _as_bundle_error(root):
        _check_replaceable(root)
        root.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}.tmp-", dir=root.parent))
        try:
            for file, data in sorted(contents.items()):
                _write_file(temporary / file, data)
            # Last, so that a folder with a manifest is a whole bundle.
            _write_file(temporary / MANIFEST_NAME, manifest)
            temporary.chmod(0o755)
            _sync_folder(temporary)
            _move_into_place(temporary, root)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(root: Path) -> None:
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise BundleError(f"{root} is a {'link' if root.is_symlink() else 'file'}; give a folder for the bundle.")
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    foreign = [name for name in names if not _is_ours(name)]
    if foreign or (names and not _tells_our_format(root / MANIFEST_NAME)):
        reason = f"it holds {foreign[0]!r}" if foreign else f"no {MANIFEST_NAME} of a bundle"
        raise BundleError(
            f"{root} is not empty and not a bundle ({reason}), so it is left alone. "
            "Give another folder, or empty this one."
        )


def _is_ours(name: str) -> bool:
    # The last one is what update_manifest leaves behind when it is killed.
    own = {MANIFEST_NAME, "manifest.sig", LABELS_NAME}
    return name in own or name.endswith(".tflite") or name.startswith(f".{MANIFEST_NAME}.")


def _tells_our_format(manifest: Path) -> bool:
    """Whether this is, or was before it was damaged, a bundle's manifest; web apps have a manifest.json, too."""
    if not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return f'"{FORMAT}"'.encode() in file.read(MAX_MANIFEST_BYTES)


def _move_into_place(temporary: Path, root: Path) -> None:
    """Rename over an empty or missing folder; put an old bundle aside first and back if that fails."""
    if not root.is_dir() or not any(root.iterdir()):
        os.rename(temporary, root)
        _sync_folder(root.parent)
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
    _sync_folder(root.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        _write_through(file, data)


def _write_through(file: Any, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` last; only POSIX systems can open a folder to do so."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _as_bundle_error(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BundleError(f"Cannot write the bundle {root}: {exc}. Check permissions and free space.") from exc
