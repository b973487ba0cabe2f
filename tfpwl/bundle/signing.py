"""Ed25519 signatures over a bundle's manifest, which carries the sum of every file.

``manifest.sig`` holds the 64 bytes of the signature (RFC 8032) over the exact bytes of ``manifest.json`` and nothing
else, so that other tools can check it, too::

    openssl pkeyutl -verify -pubin -inkey pub.pem -rawin -in manifest.json -sigfile manifest.sig
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpwl.errors import MissingDependencyError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# A PEM file, or the key itself: PEM text or the 32 raw bytes, as an app carries it in its code.
Key = str | os.PathLike[str] | bytes
SIGNATURE_BYTES = 64
_RAW_KEY_BYTES = 32
_MAX_KEY_BYTES = 1 << 16
_MAKE_KEYS = (
    "Make a pair of keys with: openssl genpkey -algorithm ed25519 -out key.pem && "
    "openssl pkey -in key.pem -pubout -out pub.pem"
)


def sign_bytes(manifest: bytes, key: Key) -> bytes:
    """The signature of a manifest's exact bytes.

    Args:
        manifest: the content of ``manifest.json``.
        key: an Ed25519 private key: a PEM file, or its content.

    Returns:
        64 bytes. Ed25519 is deterministic: the same key and manifest give the same signature.

    Raises:
        SignatureError: the key cannot be read or is of another kind.
        MissingDependencyError: the package ``cryptography`` is not installed.
    """
    return load_private_key(key).sign(manifest)


def check_signature(manifest: bytes, signature: bytes, public_key: Key) -> None:
    """Raise :class:`SignatureError` unless ``signature`` is that of ``manifest`` by the owner of ``public_key``.

    Example:
        >>> check_signature(manifest, sign_bytes(manifest, "key.pem"), "pub.pem")    # doctest: +SKIP
    """
    key = load_public_key(public_key)
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as in _serialization

    try:
        key.verify(signature, manifest)
    except InvalidSignature as exc:
        raise SignatureError(
            "The signature does not fit the manifest and the public key: the bundle was changed after it was signed, "
            "or signed with another key. Sign it again with `tfpwl sign`, or get it again."
        ) from exc


def load_private_key(key: Key) -> Ed25519PrivateKey:
    """An Ed25519 private key from a PEM file or its content.

    Raises:
        SignatureError: it cannot be read, is encrypted, or is of another kind.
    """
    serialization, ed25519 = _serialization()
    data, where = _key_bytes(key)
    try:
        loaded = serialization.load_pem_private_key(data, password=None)
    except TypeError as exc:
        raise SignatureError(
            f"{where} is encrypted. Decrypt it with: openssl pkey -in KEY -out key.pem (and keep that file private)"
        ) from exc
    except (ValueError, _unsupported()) as exc:
        hint = " It is a public key; signing takes the private one." if b"PUBLIC KEY" in data else ""
        raise SignatureError(f"{where} holds no private key in PEM.{hint} {_MAKE_KEYS}") from exc
    if not isinstance(loaded, ed25519.Ed25519PrivateKey):
        raise SignatureError(f"{where} holds {type(loaded).__name__}; expected an Ed25519 key. {_MAKE_KEYS}")
    return loaded


def load_public_key(key: Key) -> Ed25519PublicKey:
    """An Ed25519 public key from a PEM file, its content, or the 32 raw bytes.

    Raises:
        SignatureError: it cannot be read or is of another kind.
    """
    serialization, ed25519 = _serialization()
    data, where = _key_bytes(key)
    try:
        if isinstance(key, bytes) and len(key) == _RAW_KEY_BYTES:
            return ed25519.Ed25519PublicKey.from_public_bytes(key)
        loaded = serialization.load_pem_public_key(data)
    except (ValueError, _unsupported()) as exc:
        hint = " It is a private key, which belongs on no device." if b"PRIVATE KEY" in data else ""
        raise SignatureError(f"{where} holds no public key in PEM.{hint} {_MAKE_KEYS}") from exc
    if not isinstance(loaded, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{where} holds {type(loaded).__name__}; expected an Ed25519 key. {_MAKE_KEYS}")
    return loaded


def _key_bytes(key: Key) -> tuple[bytes, str]:
    if isinstance(key, bytes):
        return key, "The given key"
    try:
        with Path(key).open("rb") as file:
            return file.read(_MAX_KEY_BYTES), f"The key file {os.fspath(key)}"
    except OSError as exc:
        raise SignatureError(f"The key file {os.fspath(key)} cannot be read: {exc.strerror or exc}.") from exc


def _serialization() -> tuple[Any, Any]:
    try:
        # Here and not above: 0.05 s and 8 MB that apps without signatures need not pay.
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError(
            "The package cryptography, which signatures need, is not installed. Install it with: "
            "pip install cryptography"
        ) from exc
    return serialization, ed25519


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as in _serialization

    return UnsupportedAlgorithm
