"""Writing, changing and signing a bundle: all checks before the first byte, then everything in one step or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfpwl.bundle.assemble import assemble_manifest
from tfpwl.bundle.atomic import LABELS_NAME, as_bundle_error, replace_file, sync_folder, write_folder
from tfpwl.bundle.entries import ByMix, FileEntry, Preprocess, Producer, RuntimeHints
from tfpwl.bundle.manifest import Manifest
from tfpwl.bundle.quantization import Quantization
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.signing import Key, sign_bytes
from tfpwl.bundle.store import MANIFEST_NAME, SIGNATURE_NAME
from tfpwl.errors import BundleError, ManifestError
from tfpwl.mix import prefix_order


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
    quantization: Quantization | None = None,
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
        quantization: why this precision was chosen, if there was a choice.

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
    labels_text = None if labels is None else _labels_text(labels)
    manifest = assemble_manifest(
        files,
        {file: FileEntry(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items()},
        name=name,
        precision=precision,
        producer=producer,
        preprocess=preprocess,
        kind=kind,
        labels=None if labels_text is None else LABELS_NAME,
        labels_sha256=None if labels_text is None else hashlib.sha256(labels_text).hexdigest(),
        tier=tier,
        order=tuple(prefix_order(num_groups) if order is None else order),
        accuracy=accuracy or {},
        latency_ms=latency_ms or {},
        runtime=runtime or RuntimeHints(),
        quantization=quantization,
    )
    if labels is not None and labels_text is not None:
        if len(labels) != manifest.output.shape[-1]:
            expected = f"expected {manifest.output.shape[-1]}, one per class"
            raise ManifestError(f"labels: received {len(labels)} names; {expected}.")
        contents[LABELS_NAME] = labels_text
    write_folder(root, sorted(contents.items()), manifest.to_json().encode())
    return Bundle.open(root)


def update_manifest(bundle: Bundle, **changes: Any) -> Bundle:
    """Replace fields of a bundle's manifest, in one step; the files stay, a signature goes.

    A signature is over the manifest, so a signed bundle is unsigned afterwards: sign it again.

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
    _check_folder(bundle, "Its manifest")
    text = replace(bundle.manifest, **changes).to_json().encode()
    manifest = Manifest.from_json(text)
    with as_bundle_error(bundle.root):
        # First, so that an old signature never stands beside a manifest that it does not fit.
        (bundle.root / SIGNATURE_NAME).unlink(missing_ok=True)
        sync_folder(bundle.root)
    replace_file(bundle.root / MANIFEST_NAME, [text])
    return Bundle(bundle.root, manifest, bundle.store, text)


def sign(bundle: Bundle | str | os.PathLike[str], key: Key) -> Bundle:
    """Write ``manifest.sig``: the signature over the manifest, and with it over the sum of every file.

    Every file is read and its sum checked first, so that nothing is signed that is not what the manifest says.

    Args:
        bundle: an open bundle or its folder; a pack is signed before it is packed.
        key: an Ed25519 private key: a PEM file or its content.

    Returns:
        The bundle. :meth:`Bundle.check_signature` with the public key passes now.

    Raises:
        SignatureError: the key cannot be used.
        BundleError: the bundle is broken, packed, or cannot be written.

    Example:
        >>> sign("runs/digits_resnet/bundle", "key.pem").is_signed                  # doctest: +SKIP
        True
    """
    # The folder again in any case: what is signed shall be what lies there now.
    opened = Bundle.open(bundle.root if isinstance(bundle, Bundle) else bundle, partial=False)
    _check_folder(opened, "It")
    for entry in opened.files():
        opened.read(entry)
    _ = opened.labels
    replace_file(opened.root / SIGNATURE_NAME, [sign_bytes(opened.manifest_bytes, key)])
    return opened


def _check_folder(bundle: Bundle, what: str) -> None:
    if bundle.is_packed:
        raise BundleError(f"{bundle.root} is packed. {what} cannot be changed in place: unpack, change and pack again.")


def _walk_again(manifest: Manifest, order: Sequence[int]) -> tuple[Any, ...]:
    accuracy = {str(entry.mix): entry.accuracy for entry in manifest.path if entry.accuracy is not None}
    latency = {str(entry.mix): entry.latency_ms for entry in manifest.path if entry.latency_ms is not None}
    try:
        return manifest.walk(order, accuracy, latency)
    except ValueError as exc:
        raise ManifestError(f"order: {exc}") from exc


def _labels_text(labels: Sequence[str]) -> bytes:
    for label in labels:
        if not label or not label.isprintable():
            raise ManifestError(f"labels: received {label!r}; a name is one line of printable text.")
    return "".join(f"{label}\n" for label in labels).encode()
