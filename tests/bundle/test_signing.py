from __future__ import annotations

import builtins
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tfpwl.bundle import Bundle, sign, update_manifest, verify
from tfpwl.errors import BundleError, IntegrityError, ManifestError, MissingDependencyError, SignatureError

SIGNATURE = "manifest.sig"


def test_a_signed_bundle_opens_where_its_signature_is_demanded(tiny_bundle, keys):
    assert not tiny_bundle.is_signed
    signed = sign(tiny_bundle, keys.private)
    assert signed.is_signed
    for key in (keys.public, str(keys.public), keys.public.read_bytes(), keys.raw):
        assert Bundle.open(tiny_bundle.root, public_key=key) == signed
    signed.check_signature(keys.public)


def test_the_signature_is_plain_ed25519_over_the_manifest(tiny_bundle, keys):
    sign(tiny_bundle.root, keys.private.read_bytes())
    # Independent of our code: RFC 8032 through the library, on the files as they lie there. Raises when wrong.
    ed25519.Ed25519PublicKey.from_public_bytes(keys.raw).verify(
        (tiny_bundle.root / SIGNATURE).read_bytes(), (tiny_bundle.root / "manifest.json").read_bytes()
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_keys_of_the_documented_commands_work_and_openssl_verifies(tiny_bundle, tmp_path):
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    sign(tiny_bundle, tmp_path / "key.pem")
    Bundle.open(tiny_bundle.root, public_key=tmp_path / "pub.pem")
    root = tiny_bundle.root
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", str(root / "manifest.json"),
            "-sigfile", str(root / SIGNATURE))  # fmt: skip


def test_signing_twice_gives_the_same_bytes_and_leaves_nothing_else(tiny_bundle, keys):
    before = set(os.listdir(tiny_bundle.root))
    sign(tiny_bundle, keys.private)
    first = (tiny_bundle.root / SIGNATURE).read_bytes()
    sign(tiny_bundle, keys.private)
    assert (tiny_bundle.root / SIGNATURE).read_bytes() == first
    assert set(os.listdir(tiny_bundle.root)) == {*before, SIGNATURE}


def test_an_unsigned_bundle_is_refused_where_a_signature_is_demanded(tiny_bundle, keys):
    with pytest.raises(SignatureError, match=r"is not signed: there is no manifest.sig. Sign it with `tfpwl sign`"):
        Bundle.open(tiny_bundle.root, public_key=keys.public)


def test_another_key_is_refused(tiny_bundle, keys, other_keys):
    sign(tiny_bundle, keys.private)
    with pytest.raises(SignatureError, match="does not fit the manifest and the public key"):
        Bundle.open(tiny_bundle.root, public_key=other_keys.public)


@pytest.mark.parametrize("where", ["manifest", "signature"])
def test_any_changed_byte_is_found_before_anything_else_is_read(tiny_bundle, keys, where, monkeypatch):
    sign(tiny_bundle, keys.private)
    path = tiny_bundle.root / ("manifest.json" if where == "manifest" else SIGNATURE)
    good = path.read_bytes()
    # No file but manifest and signature may be looked at, not even its size.
    monkeypatch.setattr(Bundle, "_check_files", lambda *_: pytest.fail("a file was looked at"))
    monkeypatch.setattr("tfpwl.bundle.reader.Manifest", None)
    for position in range(0, len(good), 7 if where == "signature" else 251):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(SignatureError, match="does not fit"):
            Bundle.open(tiny_bundle.root, public_key=keys.raw)


@pytest.mark.parametrize("data", [b"", b"x" * 63, b"x" * 65, None])
def test_a_signature_of_another_size_or_kind_is_refused(tiny_bundle, keys, data):
    path = tiny_bundle.root / SIGNATURE
    path.symlink_to(keys.private) if data is None else path.write_bytes(data)
    with pytest.raises(SignatureError, match=r"is a link|bytes; the manifest expects 64"):
        Bundle.open(tiny_bundle.root, public_key=keys.public)


def test_a_signed_manifest_that_breaks_the_format_is_still_refused(tiny_bundle, keys):
    text = b'{"format": "other"}'
    (tiny_bundle.root / "manifest.json").write_bytes(text)
    key = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    (tiny_bundle.root / SIGNATURE).write_bytes(key.sign(text))
    with pytest.raises(ManifestError):
        Bundle.open(tiny_bundle.root, public_key=keys.public)


def test_what_is_parsed_is_what_was_verified(tiny_bundle, keys, monkeypatch):
    """The manifest changes on disk right after it was read: what counts is what was read."""
    signed = sign(tiny_bundle, keys.private)
    path = tiny_bundle.root / "manifest.json"

    def check_and_swap(manifest, signature, public_key):
        check(manifest, signature, public_key)
        path.write_bytes(manifest.replace(b'"tiny"', b'"evil"'))

    check = __import__("tfpwl.bundle.signing", fromlist=["check_signature"]).check_signature
    monkeypatch.setattr("tfpwl.bundle.reader.check_signature", check_and_swap)
    opened = Bundle.open(tiny_bundle.root, public_key=keys.public)
    assert opened.manifest.name == "tiny"
    assert opened.manifest_bytes == signed.manifest_bytes


def test_a_changed_manifest_loses_its_signature(tiny_bundle, keys):
    changed = update_manifest(sign(tiny_bundle, keys.private), name="renamed")
    assert not changed.is_signed
    assert Bundle.open(tiny_bundle.root).manifest.name == "renamed"
    sign(changed, keys.private).check_signature(keys.public)


def test_a_damaged_bundle_is_not_signed(tiny_bundle, keys):
    path = tiny_bundle.root / "g2.teacher.tflite"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(IntegrityError, match=r"g2\.teacher\.tflite"):
        sign(tiny_bundle, keys.private)
    assert not tiny_bundle.is_signed


def pem(key, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_keys_that_cannot_sign_say_why(tiny_bundle, keys, tmp_path):
    for key, reason in (
        (tmp_path / "none.pem", "none.pem cannot be read: No such file"),
        (b"hello", "The given key holds no private key in PEM. Make a pair of keys with: openssl genpkey"),
        (keys.public, "holds no private key in PEM. It is a public key; signing takes the private one"),
        (pem(rsa.generate_private_key(65537, 2048)), "RSA.*; expected an Ed25519 key"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "is encrypted. Decrypt it with: openssl pkey"),
    ):
        with pytest.raises(SignatureError, match=reason):
            sign(tiny_bundle, key)
    assert not tiny_bundle.is_signed


def test_keys_that_cannot_verify_say_why(tiny_bundle, keys, tmp_path):
    sign(tiny_bundle, keys.private)
    for key, reason in (
        (tmp_path / "none.pem", "none.pem cannot be read: No such file"),
        (keys.private, "holds no public key in PEM. It is a private key, which belongs on no device"),
        (b"x" * 31, "The given key holds no public key"),
    ):
        with pytest.raises(SignatureError, match=reason):
            Bundle.open(tiny_bundle.root, public_key=key)
        with pytest.raises(SignatureError, match=reason):
            verify(tiny_bundle, public_key=key)


def test_verify_has_a_line_for_the_signature(tiny_bundle, keys, other_keys):
    def check(key):
        return {check.name: check for check in verify(tiny_bundle.root, public_key=key)}

    assert "is not signed" in check(keys.public)["signature"].detail
    sign(tiny_bundle, keys.private)
    good = check(keys.public)
    assert all(one.passed for one in good.values())
    assert good["signature"].detail.startswith("manifest.sig is right")
    bad = check(other_keys.public)
    assert [name for name, one in bad.items() if not one.passed] == ["signature"]
    # Like a wrong sum: nothing of a bundle that is not what it says it is reaches the interpreter.
    assert "fixed batch" not in bad


def test_a_missing_package_is_named(tiny_bundle, keys, monkeypatch):
    def no_cryptography(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return import_(name, *rest)

    import_ = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_cryptography)
    with pytest.raises(MissingDependencyError, match="pip install cryptography"):
        Bundle.open(tiny_bundle.root, public_key=keys.raw) if tiny_bundle.is_signed else sign(tiny_bundle, keys.private)


def test_signatures_are_errors_of_a_bundle():
    assert issubclass(SignatureError, BundleError)
