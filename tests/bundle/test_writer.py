from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tfpwl.bundle import Bundle, PathEntry, atomic, update_manifest, verify, write_bundle
from tfpwl.errors import BundleError, ContractError, ManifestError


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_written_is_read_back(tiny_bundle, tiny_files):
    bundle = Bundle.open(tiny_bundle.root)
    assert bundle == tiny_bundle
    assert {e.file.removesuffix(".tflite"): bundle.read(e) for e in bundle.files()} == tiny_files
    assert bundle.labels == ("ant", "bee", "cat", "dog")
    assert {path.name for path in bundle.root.iterdir()} == {
        "manifest.json", "labels.txt", *(f"{stem}.tflite" for stem in tiny_files)
    }  # fmt: skip


def test_shapes_and_runtime_come_from_the_files(tiny_bundle):
    manifest = tiny_bundle.manifest
    assert manifest.input.shape == (1, 6, 6, 1)
    assert manifest.output.shape == (1, 4)
    assert [(b.student.shape, b.teacher.shape) for b in manifest.boundaries] == [
        ((1, 6, 6, 3), (1, 6, 6, 5)),
        ((1, 6, 6, 4), (1, 6, 6, 8)),
    ]
    # CONV_2D and AVERAGE_POOL_2D stand in the converter's table with 1.5.0.
    assert manifest.requires.tflite_runtime >= "1.5.0"
    assert manifest.order == (0, 1, 2)
    assert [e.resident_bytes for e in manifest.path] == [tiny_bundle.mix_bytes(e.mix) for e in manifest.path]


def test_the_same_arguments_give_the_same_bytes(tmp_path, tiny_files, tiny_fields):
    one = write_bundle(tmp_path / "one", files=tiny_files, **tiny_fields)
    two = write_bundle(tmp_path / "two", files=dict(reversed(tiny_files.items())), **tiny_fields)
    assert contents(one.root) == contents(two.root)


def test_a_boundary_of_equal_widths_has_no_converters(tmp_path, tiny_files, tiny_fields):
    files = {stem: data for stem, data in tiny_files.items() if not stem.startswith("b")}
    files |= {f"g{i}.student": files[f"g{i}.teacher"] for i in range(3)}
    bundle = write_bundle(tmp_path / "equal", files=files, **tiny_fields)
    assert [e.file for e in bundle.chain("STS")] == ["g0.student.tflite", "g1.teacher.tflite", "g2.student.tflite"]
    assert all(check.passed for check in verify(bundle))


def test_an_old_bundle_is_replaced(tiny_bundle, tiny_files, tiny_fields):
    again = write_bundle(tiny_bundle.root, files=tiny_files, **{**tiny_fields, "name": "again", "labels": None})
    assert Bundle.open(tiny_bundle.root) == again
    assert again.manifest.name == "again"
    assert again.labels is None
    assert not (again.root / "labels.txt").exists()
    assert [path.name for path in again.root.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("make", ["missing parents", "empty"])
def test_a_folder_may_be_missing_or_empty(tmp_path, tiny_files, tiny_fields, make):
    root = tmp_path / "a" / "b"
    if make == "empty":
        root.mkdir(parents=True)
    assert write_bundle(root, files=tiny_files, **tiny_fields).root == root


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ({"photo.jpg": "dear"}, "it holds 'photo.jpg'"),
        ({"manifest.json": '{"name": "a web app"}'}, "no manifest.json of a bundle"),
        ({"mine.tflite": "dear"}, "no manifest.json of a bundle"),
        ({"manifest.json": '{"format": "tfpwl-bundle"}', "notes.md": "dear"}, "it holds 'notes.md'"),
    ],
)
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, tiny_files, tiny_fields, there, reason):
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BundleError, match=rf"not empty and not a bundle \({reason}\), so it is left alone"):
        write_bundle(tmp_path, files=tiny_files, **tiny_fields)
    assert contents(tmp_path) == {name: text.encode() for name, text in there.items()}


def test_a_damaged_bundle_is_replaced(tiny_bundle, tiny_files, tiny_fields):
    manifest = tiny_bundle.root / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    (tiny_bundle.root / "g0.student.tflite").unlink()
    assert write_bundle(tiny_bundle.root, files=tiny_files, **tiny_fields) == tiny_bundle


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_file_or_link_is_not_replaced(tmp_path, tiny_files, tiny_fields, what):
    root = tmp_path / "there"
    root.write_text("x") if what == "file" else root.symlink_to(tmp_path)
    with pytest.raises(BundleError, match=f"is a {what}"):
        write_bundle(root, files=tiny_files, **tiny_fields)


@pytest.mark.parametrize("call", range(13))
def test_a_fault_while_writing_leaves_the_old_bundle(tiny_bundle, tiny_files, tiny_fields, monkeypatch, call):
    before = contents(tiny_bundle.root)
    calls = iter(range(100))

    def full_disk(file, data):
        if next(calls) == call:
            file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_through(file, data)

    write_through = atomic._write_through
    monkeypatch.setattr(atomic, "_write_through", full_disk)
    fields = {**tiny_fields, "name": "other"}
    if call < len(before):
        with pytest.raises(BundleError, match="No space left on device"):
            write_bundle(tiny_bundle.root, files=tiny_files, **fields)
        assert contents(tiny_bundle.root) == before
    else:
        write_bundle(tiny_bundle.root, files=tiny_files, **fields)
    assert [path.name for path in tiny_bundle.root.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_fault_in_a_rename_leaves_the_old_bundle(tiny_bundle, tiny_files, tiny_fields, monkeypatch, failing):
    calls = iter(range(1, 100))
    rename = os.rename

    def denied(source, target):
        if next(calls) == failing:
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", denied)
    with pytest.raises(BundleError, match="Permission denied"):
        write_bundle(tiny_bundle.root, files=tiny_files, **{**tiny_fields, "name": "other"})
    monkeypatch.undo()
    assert Bundle.open(tiny_bundle.root) == tiny_bundle
    assert [path.name for path in tiny_bundle.root.parent.iterdir()] == ["tiny"]


def leftovers(parent) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.name.startswith("."))


def test_what_killed_writers_left_is_cleared_away(tiny_bundle, tiny_files, tiny_fields):
    parent = tiny_bundle.root.parent
    for name in (".tiny.tmp-abcdefg1", ".tiny.old-abcdefg2", ".tiny.tmp-mine", ".other.tmp-abcdefg3"):
        (parent / name).mkdir()
        (parent / name / "g0.student.tflite").write_bytes(b"x")
    write_bundle(tiny_bundle.root, files=tiny_files, **tiny_fields)
    # Those of another bundle, and what tempfile would not have named so, are somebody else's.
    assert leftovers(parent) == [".other.tmp-abcdefg3", ".tiny.tmp-mine"]


def kill_at_rename(number, root, tmp_path) -> None:
    """Replace the bundle at ``root`` in a process that is killed in place of its rename of this number."""
    code = f"""
import os, signal
from tfpwl.bundle import Bundle, write_bundle
calls, rename = iter(range(1, 9)), os.rename
os.rename = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == {number} else rename(*a)
old = Bundle.open({str(root)!r})
files = {{e.file.removesuffix(".tflite"): old.read(e) for e in old.files()}}
m = old.manifest
write_bundle(old.root, files=files, name="new", precision="fp32", producer=m.producer, preprocess=m.input.preprocess)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_writer_killed_before_it_puts_the_old_bundle_aside_harms_nothing(tiny_bundle, tmp_path):
    kill_at_rename(1, tiny_bundle.root, tmp_path)
    assert Bundle.open(tiny_bundle.root) == tiny_bundle
    assert len(leftovers(tmp_path)) == 2


def test_a_bundle_that_a_killed_writer_put_aside_is_put_back(tiny_bundle, tiny_files, tiny_fields, tmp_path):
    kill_at_rename(2, tiny_bundle.root, tmp_path)
    with pytest.raises(BundleError, match=r"A writer was stopped while it replaced it; the old bundle is .*\.old-"):
        Bundle.open(tiny_bundle.root)
    before = {name: contents(tmp_path / name) for name in leftovers(tmp_path)}
    assert len(before) == 2
    # A write that is refused for its own reasons comes after the recovery.
    (tmp_path / "blocked").mkdir()
    write_bundle(tiny_bundle.root, files=tiny_files, **{**tiny_fields, "name": "again"})
    assert leftovers(tmp_path) == []
    assert Bundle.open(tiny_bundle.root).manifest.name == "again"


def test_the_bundle_put_aside_comes_back_even_if_the_next_write_fails(
    tiny_bundle, tiny_files, tiny_fields, tmp_path, monkeypatch
):
    kill_at_rename(2, tiny_bundle.root, tmp_path)

    def full_disk(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_write_through", full_disk)
    with pytest.raises(BundleError, match="No space left on device"):
        write_bundle(tiny_bundle.root, files=tiny_files, **tiny_fields)
    assert Bundle.open(tiny_bundle.root) == tiny_bundle
    assert leftovers(tmp_path) == []


def test_a_writer_at_work_is_waited_for_and_not_cleared_away(tiny_bundle, tiny_files, tiny_fields, monkeypatch):
    """Two threads replace one bundle: each finds a whole one, and neither takes the other's folder for a leftover."""
    entered = threading.Event()

    def slow(file, data):
        entered.set()
        time.sleep(0.01)
        write_through(file, data)

    write_through = atomic._write_through
    monkeypatch.setattr(atomic, "_write_through", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write_bundle, tiny_bundle.root, files=tiny_files, **{**tiny_fields, "name": "first"})
        assert entered.wait(60)
        second = pool.submit(write_bundle, tiny_bundle.root, files=tiny_files, **{**tiny_fields, "name": "second"})
        # The first one may open what the second has put in its place; no more than that.
        assert first.result().manifest.name in ("first", "second")
        assert second.result().manifest.name == "second"
    assert leftovers(tiny_bundle.root.parent) == []


def test_what_a_killed_update_left_is_cleared_away(tiny_bundle):
    (tiny_bundle.root / ".manifest.json.abcdefgh").write_bytes(b"half")
    update_manifest(tiny_bundle, name="new")
    assert leftovers(tiny_bundle.root) == []


def without(stem):
    return lambda files: {key: data for key, data in files.items() if key != stem}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: {}, r"\['g0.student', 'g0.teacher'\] are missing"),
        (without("g1.student"), r"\['g1.student'\] are missing"),
        (lambda files: {**files, "g1.pupil": b""}, r"Received files \['g1.pupil'\]; expected stems"),
        (lambda files: {**files, "b2.encoder": b""}, r"Received files \['b2.encoder'\]; with 3 groups there are 2"),
        (lambda files: {**files, "g0.student": b"no model"}, "g0.student.tflite: received 8 bytes without the mark"),
        (lambda files: {**files, "g0.student": b""}, "g0.student.tflite: received 0 bytes without the mark"),
        (lambda files: {**files, "g0.student": files["g0.student"][:100]}, "g0.student.tflite: the flatbuffer is brok"),
        (lambda files: {**files, "g1.student": files["g1.teacher"]}, "touch boundary 0, student must.*6, 3.*6, 5"),
        (lambda files: {**files, "g2.teacher": files["g1.student"]}, "touch boundary 1, teacher must agree"),
        (lambda files: {**files, "b1.encoder": files["b1.decoder"]}, "touch boundary 1, student must agree"),
    ],
)
def test_files_that_break_a_contract_are_refused(tmp_path, tiny_files, tiny_fields, change, reason):
    with pytest.raises(ContractError, match=reason):
        write_bundle(tmp_path / "new", files=change(tiny_files), **tiny_fields)
    assert list(tmp_path.iterdir()) == []


def test_a_free_batch_is_refused(tmp_path, tiny_files, tiny_fields, bad_files):
    with pytest.raises(ContractError, match=r"g2.student.tflite: received the free shape \[-1, 6, 6, 4\].*batch_shape"):
        write_bundle(tmp_path / "new", files={**tiny_files, "g2.student": bad_files["free_batch"]}, **tiny_fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"labels": ["one"]}, "labels: received 1 names; expected 4"),
        ({"labels": ["a", "b", "c", "d\n"]}, "labels: received 'd\\\\n'"),
        ({"order": (0, 0, 1)}, "order: Received order"),
        ({"precision": "fp8"}, "precision: received 'fp8'"),
        ({"accuracy": {"SSS": 87.0}}, r"path\[0\].accuracy: received 87.0"),
        ({"accuracy": {"SSS": float("nan")}}, "JSON cannot hold: Out of range float"),
        ({"accuracy": {"SSS": np.float32(0.5)}}, "JSON cannot hold: Object of type float32"),
        ({"accuracy": {"STS": 0.5}}, r"received figures for \['STS'\]"),
        ({"name": ""}, "name: received ''"),
    ],
)
def test_arguments_that_break_the_format_are_refused(tmp_path, tiny_files, tiny_fields, fields, reason):
    with pytest.raises(ManifestError, match=reason):
        write_bundle(tmp_path / "new", files=tiny_files, **{**tiny_fields, **fields})


def test_a_missing_converter_is_refused(tmp_path, tiny_files, tiny_fields):
    with pytest.raises(ManifestError, match=r"boundaries\[0\].decoder: missing, but the other converter is there"):
        write_bundle(tmp_path / "new", files=without("b0.decoder")(tiny_files), **tiny_fields)


def test_measured_figures_are_recorded_afterwards(tiny_bundle):
    path = tiny_bundle.manifest.walk((0, 1, 2), accuracy={"SSS": 0.5}, latency_ms={"TTT": 1.25})
    updated = update_manifest(tiny_bundle, path=path)
    assert updated.manifest.path[0] == PathEntry("SSS", 0.5, tiny_bundle.mix_bytes("SSS"), None)
    assert Bundle.open(tiny_bundle.root) == updated


def test_a_new_order_walks_a_new_path_and_keeps_figures(tiny_bundle):
    path = tiny_bundle.manifest.walk((0, 1, 2), accuracy={"SSS": 0.5, "TSS": 0.6, "TTT": 0.9})
    updated = update_manifest(update_manifest(tiny_bundle, path=path), order=(2, 0, 1))
    assert [(e.mix, e.accuracy) for e in updated.manifest.path] == [
        ("SSS", 0.5), ("SST", None), ("TST", None), ("TTT", 0.9)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": "red"}, r"Received \['colour'\]"),
        ({"order": (0, 1)}, "order"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_a_refused_update_changes_nothing(tiny_bundle, changes, reason):
    before = contents(tiny_bundle.root)
    with pytest.raises(ManifestError, match=reason):
        update_manifest(tiny_bundle, **changes)
    assert contents(tiny_bundle.root) == before


def test_a_fault_in_an_update_changes_nothing(tiny_bundle, monkeypatch):
    before = contents(tiny_bundle.root)

    def broken(source, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(BundleError, match="Input/output error"):
        update_manifest(tiny_bundle, name="other")
    assert contents(tiny_bundle.root) == before
