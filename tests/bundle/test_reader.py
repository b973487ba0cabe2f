from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from tfpwl.bundle import Bundle, update_manifest
from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES
from tfpwl.bundle.store import PULLING_NAME
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
@pytest.mark.parametrize("summed", [True, False])
def test_bad_labels_are_refused(tiny_bundle, text, reason, summed):
    path = tiny_bundle.root / "labels.txt"
    path.unlink() if text is None else path.write_bytes(text)
    sha256 = hashlib.sha256(text or b"").hexdigest() if summed else None
    bundle = update_manifest(tiny_bundle, output=replace(tiny_bundle.manifest.output, labels_sha256=sha256))
    with pytest.raises((ContractError, IntegrityError), match=reason):
        _ = bundle.labels


def test_changed_labels_are_found(tiny_bundle):
    path = tiny_bundle.root / "labels.txt"
    path.write_text("bee\nant\ncat\ndog\n")
    with pytest.raises(IntegrityError, match=r"labels.txt: the content has SHA-256 .*; the manifest expects"):
        _ = tiny_bundle.labels


def test_a_manifest_without_a_sum_of_the_labels_is_read_as_before(tiny_bundle):
    bundle = update_manifest(tiny_bundle, output=replace(tiny_bundle.manifest.output, labels_sha256=None))
    assert "labels_sha256" not in (bundle.root / "manifest.json").read_text()
    assert Bundle.open(bundle.root).labels == ("ant", "bee", "cat", "dog")


def without_teachers(bundle):
    """The files that a device has when the student has arrived."""
    student = {entry.file for entry in bundle.chain("SSS")}
    for entry in bundle.files():
        if entry.file not in student:
            (bundle.root / entry.file).unlink()


@pytest.mark.parametrize("how", ["asked for", "marked"])
def test_a_bundle_whose_teacher_has_not_arrived_opens_where_that_is_expected(tiny_bundle, how):
    without_teachers(tiny_bundle)
    with pytest.raises(IntegrityError, match=r"g0\.teacher\.tflite"):
        Bundle.open(tiny_bundle.root)
    if how == "marked":
        (tiny_bundle.root / PULLING_NAME).touch()
    bundle = Bundle.open(tiny_bundle.root, partial=True if how == "asked for" else None)
    missing = bundle.missing()
    assert missing == bundle.manifest.load_order()[3:]
    with pytest.raises(IntegrityError, match=missing[0].file):
        bundle.read(missing[0])
    with pytest.raises(IntegrityError, match=r"g0.teacher.tflite"):
        Bundle.open(tiny_bundle.root, partial=False)


@pytest.mark.parametrize("damage", [delete, truncate, link])
def test_the_student_of_a_partial_bundle_must_be_whole(tiny_bundle, damage):
    damage(tiny_bundle.root / "g1.student.tflite")
    with pytest.raises(IntegrityError, match=r"g1\.student\.tflite"):
        Bundle.open(tiny_bundle.root, partial=True)


@pytest.mark.parametrize("damage", [truncate, link, folder])
def test_a_teacher_that_is_there_in_a_partial_bundle_must_be_whole(tiny_bundle, damage):
    damage(tiny_bundle.root / FILE)
    with pytest.raises(IntegrityError, match=FILE):
        Bundle.open(tiny_bundle.root, partial=True)


def test_files_are_needed_student_first_then_along_the_order(tiny_bundle):
    bundle = update_manifest(tiny_bundle, order=(1, 0, 2))
    # SSS, STS, TTS, TTT: the encoder into g2's student from g1's teacher and the decoder into g1's teacher come with
    # STS; b0.encoder and what else the path does not use comes last.
    assert [entry.file.removesuffix(".tflite") for entry in bundle.manifest.load_order()] == [
        "g0.student", "g1.student", "g2.student", "b0.decoder", "g1.teacher", "b1.encoder", "g0.teacher", "g2.teacher",
        "b0.encoder", "b1.decoder",
    ]  # fmt: skip
