from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfpwl.bundle import Bundle, pack, sign, unpack, update_manifest, verify
from tfpwl.bundle.archive import PAGE
from tfpwl.errors import BundleError, IntegrityError, ManifestError, SignatureError
from tfpwl.runtime import ProgressiveModel


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def packed(tiny_bundle, tmp_path) -> Bundle:
    return pack(tiny_bundle, tmp_path / "tiny.tfpwl")


def test_a_pack_is_the_bundle(packed, tiny_bundle):
    assert packed.is_packed
    assert packed.manifest == tiny_bundle.manifest
    assert packed.labels == tiny_bundle.labels
    for entry in tiny_bundle.files():
        assert packed.read(entry) == tiny_bundle.read(entry)
        assert packed.view(entry) == tiny_bundle.read(entry)
        assert packed.view(entry).readonly
    assert packed.missing() == ()
    assert all(check.passed for check in verify(packed.root))


@pytest.mark.parametrize("signed", [False, True])
def test_unpacking_gives_back_the_folder_byte_for_byte(tiny_bundle, tmp_path, signed, keys):
    if signed:
        sign(tiny_bundle, keys.private)
    pack(tiny_bundle, tmp_path / "tiny.tfpwl")
    back = unpack(tmp_path / "tiny.tfpwl", tmp_path / "back", public_key=keys.public if signed else None)
    assert contents(back.root) == contents(tiny_bundle.root)
    assert ("manifest.sig" in contents(back.root)) == signed


def test_the_same_bundle_gives_the_same_bytes(packed, tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.root, tmp_path / "copy")
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, (0, 0))
    again = pack(tmp_path / "copy", tmp_path / "again.tfpwl")
    assert again.root.read_bytes() == packed.root.read_bytes()


def test_members_lie_on_pages_with_the_student_first(packed, tiny_bundle):
    """Read with Python's own zip reader, which shares nothing with ours."""
    data = packed.root.read_bytes()
    with zipfile.ZipFile(packed.root) as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
        assert [info.filename for info in infos[:5]] == [
            "manifest.json", "labels.txt", "g0.student.tflite", "g1.student.tflite", "g2.student.tflite"
        ]  # fmt: skip
        for info in infos:
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            name_bytes, extra_bytes = struct.unpack_from("<2H", data, info.header_offset + 26)
            start = info.header_offset + 30 + name_bytes + extra_bytes
            assert start % (16 * 1024) == 0
            content = (tiny_bundle.root / info.filename).read_bytes()
            assert data[start : start + info.file_size] == archive.read(info) == content


def test_the_files_are_those_of_the_folder_for_other_tools(packed, tiny_bundle, tmp_path):
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(packed.root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "manifest.json" in listed.stdout
    if (unzip := shutil.which("unzip")) is not None:
        subprocess.run([unzip, "-q", str(packed.root), "-d", str(tmp_path / "u")], check=True, timeout=60)
        assert contents(tmp_path / "u") == contents(tiny_bundle.root)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_model_runs_out_of_a_pack(packed, tiny_bundle, in_place):
    x = tiny_bundle.manifest.input.preprocess([[[0.5]] * 6] * 6)
    with ProgressiveModel.open(packed.root, in_place=in_place) as model, ProgressiveModel.open(tiny_bundle) as expected:
        for _ in range(2):
            # The same bytes through the same engine: the same bits.
            assert (model.predict(x) == expected.predict(x)).all()
            model.upgrade(background=False)
            expected.upgrade(background=False)
        assert model.mix == "TTT"


def test_a_pack_replaced_while_it_is_open_stays_the_one_that_was_opened(packed, tiny_bundle, tmp_path):
    other = pack(update_manifest(tiny_bundle, name="other"), packed.root)
    assert other.manifest.name == "other"
    for entry in packed.files():
        assert packed.read(entry)


def test_a_pack_is_signed_before_it_is_packed(packed, tiny_bundle, keys, other_keys, tmp_path):
    with pytest.raises(SignatureError, match="is not signed"):
        Bundle.open(packed.root, public_key=keys.public)
    for change in (lambda: sign(packed, keys.private), lambda: update_manifest(packed, name="x")):
        with pytest.raises(BundleError, match=r"is packed\. .*unpack, change and pack again"):
            change()
    sign(tiny_bundle, keys.private)
    pack(tiny_bundle, packed.root)
    assert Bundle.open(packed.root, public_key=keys.public).is_signed
    with pytest.raises(SignatureError, match="does not fit"):
        unpack(packed.root, tmp_path / "out", public_key=other_keys.public)
    assert not (tmp_path / "out").exists()


def test_a_pack_replaces_only_a_pack(packed, tiny_bundle, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"dear")
    for target, reason in (
        (tmp_path / "photo.jpg", "exists and is no pack, so it is left alone"),
        (tmp_path, "is a folder; give a file name"),
        (tmp_path / "none" / "x.tfpwl", "does not exist; make the folder first"),
    ):
        with pytest.raises(BundleError, match=reason):
            pack(tiny_bundle, target)
    assert (tmp_path / "photo.jpg").read_bytes() == b"dear"
    with pytest.raises(BundleError, match="is packed already"):
        pack(packed, tmp_path / "x.tfpwl")
    with pytest.raises(BundleError, match="is a folder; expected a file made by `tfpwl pack`"):
        unpack(tiny_bundle.root, tmp_path / "out")


def test_a_damaged_bundle_is_not_packed_and_leaves_no_file(tiny_bundle, tmp_path):
    path = tiny_bundle.root / "b1.decoder.tflite"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(IntegrityError, match=r"b1\.decoder\.tflite"):
        pack(tiny_bundle, tmp_path / "x.tfpwl")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_unpacking_over_something_else_leaves_it_alone(packed, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.md").write_text("dear")
    with pytest.raises(BundleError, match="not empty and not a bundle"):
        unpack(packed.root, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"notes.md": b"dear"}


def test_a_file_that_is_no_pack_is_told_apart(tmp_path):
    (tmp_path / "x").write_text("hello")
    with pytest.raises(BundleError, match=r"expected the folder that holds manifest.json, or a bundle packed by"):
        Bundle.open(tmp_path / "x")


def zip_of(tiny_bundle, path, change=lambda members: members, compression=zipfile.ZIP_STORED, align=True):
    """A zip of the bundle made with Python's own writer: the members as a list of (name, bytes)."""
    members = change([("manifest.json", tiny_bundle.manifest_bytes), *sorted(contents(tiny_bundle.root).items())[:-1]])
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            if align:
                at = archive.fp.tell() + 30 + len(name) + 4
                info.extra = struct.pack("<2H", 0xD935, -at % PAGE) + bytes(-at % PAGE)
            archive.writestr(info, data)
            info.extra = b""
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (lambda m: m, {"compression": zipfile.ZIP_DEFLATED}, "is compressed, encrypted or carries extra fields"),
        (lambda m: m, {"align": False}, "begins at byte .*; expected a multiple of 16384"),
        (lambda m: [*m, ("extra.tflite", b"x")], {}, "holds extra.tflite, which the manifest does not name"),
        (lambda m: [*m, ("readme.txt", b"x")], {}, "holds readme.txt, which the manifest does not name"),
        (lambda m: [*m, ("g0.student.tflite", b"x")], {}, "g0.student.tflite stands twice"),
        (lambda m: [*m, ("G0.student.tflite", b"x")], {}, "G0.student.tflite stands twice"),
        (lambda m: [*m, ("../evil", b"x")], {}, "the name '../evil'; expected plain names"),
        (lambda m: [*m, ("/etc/passwd", b"x")], {}, "the name '/etc/passwd'"),
        (lambda m: [*m, ("sub/", b"")], {}, "the name 'sub/'"),
        (lambda m: [*m, ("\u0440", b"x")], {}, "expected plain names"),
        (lambda m: m[1:], {}, "No manifest.json"),
        (lambda m: [*m[:-2], m[-1]], {}, "holds no .*tflite, which the bundle needs"),
    ],
)
def test_zips_that_are_no_pack_are_refused(tiny_bundle, tmp_path, change, options, reason):
    path = zip_of(tiny_bundle, tmp_path / "x.tfpwl", change, **options)
    with pytest.raises((IntegrityError, ManifestError), match=reason):
        Bundle.open(path)


def test_the_same_made_by_another_writer_is_a_pack(tiny_bundle, tmp_path):
    """What the test above leaves out is what it is refused for."""
    assert Bundle.open(zip_of(tiny_bundle, tmp_path / "x.tfpwl")).manifest == tiny_bundle.manifest


def central_at(data: bytes, name: str) -> int:
    return data.rindex(name.encode()) - 46


def put(data: bytes, at: int, form: str, *values: int) -> bytes:
    packed = struct.pack(form, *values)
    return data[:at] + packed + data[at + len(packed) :]


NAME = "g1.teacher.tflite"
TAMPERINGS = {
    "header of another member": lambda d: put(d, central_at(d, NAME) + 42, "<I", 0),
    "header beyond the end": lambda d: put(d, central_at(d, NAME) + 42, "<I", 2**32 - 2),
    "zip64 offset": lambda d: put(d, central_at(d, NAME) + 42, "<I", 2**32 - 1),
    "zip64 size": lambda d: put(d, central_at(d, NAME) + 20, "<2I", 2**32 - 1, 2**32 - 1),
    "size in the directory alone": lambda d: put(d, central_at(d, NAME) + 20, "<2I", 10, 10),
    "packed size alone": lambda d: put(d, central_at(d, NAME) + 20, "<I", 10),
    "encrypted": lambda d: put(d, central_at(d, NAME) + 8, "<H", 1),
    "data descriptor": lambda d: put(d, central_at(d, NAME) + 8, "<H", 8),
    "on another disk": lambda d: put(d, central_at(d, NAME) + 34, "<H", 1),
    "other name in the header": lambda d: d.replace(NAME.encode(), b"g1.teacher.tflitE", 1),
    "more members than there are": lambda d: put(d, len(d) - 14, "<2H", 4000, 4000),
    "fewer members than there are": lambda d: put(d, len(d) - 14, "<2H", 2, 2),
    "zip64 members": lambda d: put(d, len(d) - 14, "<2H", 0xFFFF, 0xFFFF),
    "no members": lambda d: put(d, len(d) - 14, "<2H", 0, 0),
    "directory elsewhere": lambda d: put(d, len(d) - 6, "<I", 0),
    "directory too long": lambda d: put(d, len(d) - 10, "<I", 2**31),
    "comment": lambda d: put(d, len(d) - 2, "<H", 5) + b"hello",
    "something before it": lambda d: b"#!/bin/sh\n" + d,
    "something behind it": lambda d: d + b"x",
    "cut short": lambda d: d[:-1],
    "half": lambda d: d[: len(d) // 2],
    "the mark alone": lambda d: d[:4],
    "bytes between members and directory": lambda d: put(
        d[: d.index(b"PK\1\2")] + b"hidden" + d[d.index(b"PK\1\2") :], len(d) - 6 + 6, "<I", d.index(b"PK\1\2") + 6
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampered_packs_are_refused(packed, tampering):
    data = packed.root.read_bytes()
    packed.root.write_bytes(TAMPERINGS[tampering](data))
    with pytest.raises(BundleError) as caught:
        Bundle.open(packed.root)
    assert str(packed.root) in str(caught.value)


def test_a_changed_bit_of_a_file_is_found_when_it_is_read(packed):
    data = packed.root.read_bytes()
    entry = packed.manifest.groups[1].teacher
    with zipfile.ZipFile(packed.root) as archive:
        at = data.index(archive.read(entry.file))
    # In place, as a failing disk would do it: no new file that the open pack would not see.
    with packed.root.open("r+b") as file:
        file.seek(at + entry.bytes // 2)
        file.write(bytes([data[at + entry.bytes // 2] ^ 1]))
    for read in (packed.read, packed.view):
        with pytest.raises(IntegrityError, match=r"g1.teacher.tflite: the content has SHA-256 .*; the manifest"):
            read(entry)


def test_a_changed_bit_of_the_manifest_is_found_without_a_signature(packed):
    data = packed.root.read_bytes()
    at = data.index(b'"tiny"')
    packed.root.write_bytes(data[:at] + b'"tinY"' + data[at + 6 :])
    with pytest.raises(ManifestError, match=r"manifest.json has another CRC-32 than the zip says"):
        Bundle.open(packed.root)


def test_a_pack_cut_short_while_it_is_open_is_an_error_and_not_a_crash(packed):
    entry = packed.manifest.load_order()[-1]
    os.truncate(packed.root, 3 * PAGE)
    with pytest.raises(IntegrityError, match=r"ends \d+ bytes too early"):
        packed.read(entry)
    with pytest.raises(IntegrityError, match="has changed its size since it was opened"):
        packed.view(entry)


def test_no_handle_is_left(packed):
    def handles() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = handles()
    for _ in range(20):
        bundle = Bundle.open(packed.root)
        bundle.view(bundle.files()[0])
        del bundle
        path = packed.root.with_suffix(".bad")
        path.write_bytes(packed.root.read_bytes()[:-1])
        with pytest.raises(IntegrityError):
            Bundle.open(path)
    assert handles() == before


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), num_changes=st.integers(1, 4), cut=st.booleans())
def test_a_mutated_pack_never_gives_other_bytes(  # noqa: PLR0917 - hypothesis gives them by name
    packed, tmp_path, tiny_files, seed, num_changes, cut
):
    """Whatever changes, each file that can be read is what was packed, or there is an error of ours."""
    rng = random.Random(seed)
    data = bytearray(packed.root.read_bytes())
    # Headers, directory and manifest are where a parser can go wrong; padding is most of such a small pack.
    places = [i for i in range(len(data)) if data[i]] if rng.random() < 0.8 else range(len(data))
    for _ in range(num_changes):
        data[rng.choice(places)] = rng.randrange(256)
    if cut:
        del data[rng.randrange(len(data)) :]
    path = tmp_path / "mutated"
    path.write_bytes(data)
    try:
        bundle = Bundle.open(path)
        for entry in bundle.files():
            assert bundle.read(entry) == bundle.view(entry) == tiny_files[entry.file.removesuffix(".tflite")]
    except BundleError:
        pass
