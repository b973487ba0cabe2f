from __future__ import annotations

import os

import pytest

from tfpwl.bundle import Bundle
from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES
from tfpwl.errors import BundleError, ContractError, IntegrityError, ManifestError

FILE = "g1.teacher.tflite"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nowhere: the folder does not exist. Make one with `tfpwl build`"):
        Bundle.open(tmp_path / "nowhere")


def test_a_file_given_for_a_folder_is_told_apart(tiny_bundle):
    with pytest.raises(BundleError, match=r"Received the file .*manifest.json; expected the folder that holds"):
        Bundle.open(tiny_bundle.root / "manifest.json")


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(ManifestError, match=r"No manifest.json in .*; this folder is not a bundle"):
        Bundle.open(tmp_path)


def test_a_manifest_too_large_is_not_read(tiny_bundle):
    (tiny_bundle.root / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 10))
    with pytest.raises(ManifestError, match="expected at most 1048576"):
        Bundle.open(tiny_bundle.root)


@pytest.mark.parametrize("kind", ["folder", "link", "broken link"])
def test_a_manifest_that_is_no_plain_file_is_refused(tiny_bundle, kind):
    path = tiny_bundle.root / "manifest.json"
    path.rename(tiny_bundle.root / "moved.json")
    path.mkdir() if kind == "folder" else path.symlink_to("moved.json" if kind == "link" else "gone.json")
    with pytest.raises(ManifestError, match=f"manifest.json: is a {kind.split()[-1]}; expected a plain file"):
        Bundle.open(tiny_bundle.root)


def delete(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def link(path):
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


BREAKAGES = [
    (delete, "No such file or directory"),
    (truncate, "bytes; the manifest expects"),
    (lengthen, "bytes; the manifest expects"),
    (link, "is a link; expected a plain file"),
    (folder, "is a folder; expected a plain file"),
    (pipe, "is special; expected a plain file"),
]


@pytest.mark.parametrize(("damage", "reason"), BREAKAGES)
def test_a_damaged_file_keeps_the_bundle_from_opening(tiny_bundle, damage, reason):
    damage(tiny_bundle.root / FILE)
    with pytest.raises(IntegrityError, match=reason) as caught:
        Bundle.open(tiny_bundle.root)
    assert FILE in str(caught.value)


@pytest.mark.parametrize(("damage", "reason"), BREAKAGES)
def test_a_file_damaged_after_opening_is_not_read(tiny_bundle, damage, reason):
    damage(tiny_bundle.root / FILE)
    with pytest.raises(IntegrityError, match=reason):
        tiny_bundle.read(tiny_bundle.manifest.groups[1].teacher)


def test_one_changed_bit_is_found_with_both_sums(tiny_bundle):
    path = tiny_bundle.root / FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    bundle = Bundle.open(tiny_bundle.root)
    entry = bundle.manifest.groups[1].teacher
    with pytest.raises(IntegrityError, match=rf"{FILE}: .*SHA-256 [0-9a-f]{{64}}; the manifest expects {entry.sha256}"):
        bundle.read(entry)


def test_an_unreadable_file_is_an_integrity_error(tiny_bundle, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(IntegrityError, match="Permission denied; it cannot be read"):
        tiny_bundle.read(tiny_bundle.manifest.groups[0].student)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"one\ntwo\n", "received 2 lines; expected 4"), (b"\xff\n\n\n\n", "not UTF-8"), (None, "No such file")],
)
def test_bad_labels_are_refused(tiny_bundle, text, reason):
    path = tiny_bundle.root / "labels.txt"
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises((ContractError, IntegrityError), match=reason):
        _ = tiny_bundle.labels
