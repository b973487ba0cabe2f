from __future__ import annotations

import hashlib
import random

import pytest
from adbd.device import Faults, Profile

from tfpwl.bench.android.adb import Adb
from tfpwl.bench.android.push import FOLDER, clean, push_changed
from tfpwl.errors import DeviceOfflineError, StorageFullError


@pytest.fixture
def files(tmp_path):
    """Three files by their name on the phone, one of them in a folder and with a name that a shell would split."""
    found = {}
    for number, name in enumerate(["program", "models/a b.tflite", "models/c.tflite"]):
        found[name] = tmp_path / f"local{number}"
        found[name].write_bytes(random.Random(number).randbytes(1000 + number))
    return found


@pytest.fixture
def device(connect):
    return connect()


@pytest.fixture
def phone(device):
    return Adb().select(device.serial)[0]


def on_phone(device):
    folder = device.sandbox.host_path(FOLDER)
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def assert_same(device, files):
    found = on_phone(device)
    found.pop("pushed.sha256")
    assert {name: path.read_bytes() for name, path in found.items()} == {n: p.read_bytes() for n, p in files.items()}


def test_the_first_push_takes_all_and_programs_can_be_run(device, phone, files):
    report = push_changed(phone, files)
    assert (report.pushed, report.kept) == (tuple(sorted(files)), ())
    assert report.num_bytes == 3003
    assert_same(device, files)
    assert on_phone(device)["program"].stat().st_mode & 0o111 == 0o111


def test_the_second_push_takes_only_what_changed(device, phone, files):
    push_changed(phone, files)
    before = device.pushed_bytes
    files["models/c.tflite"].write_bytes(b"new")
    report = push_changed(phone, files)
    assert report.pushed == ("models/c.tflite",)
    assert device.pushed_bytes - before == 3
    assert_same(device, files)
    assert push_changed(phone, files).pushed == ()


def test_what_is_not_wanted_any_more_goes(device, phone, files):
    push_changed(phone, files)
    del files["models/a b.tflite"]
    push_changed(phone, files)
    assert_same(device, files)


def test_a_file_that_changed_on_the_phone_in_size_is_pushed_again(device, phone, files):
    push_changed(phone, files)
    on_phone(device)["program"].write_bytes(b"cut")
    assert push_changed(phone, files).pushed == ("program",)
    assert_same(device, files)


def test_a_cut_push_is_never_taken_for_the_old_file(connect, tmp_path):
    """Old and new have the same size; the new one arrives whole, then the connection is cut."""
    device = connect(Profile(faults=Faults(drop_push_after=1_600_000)))
    phone = Adb().select()[0]
    sizes = {"a": 500_000, "b": 500_000}
    old, new = ({n: tmp_path / f"{age}.{n}" for n in sizes} for age in ("old", "new"))
    for number, path in enumerate([*old.values(), *new.values()]):
        path.write_bytes(random.Random(number).randbytes(500_000))
    push_changed(phone, old)
    with pytest.raises(DeviceOfflineError):
        push_changed(phone, new)
    assert on_phone(device)["a"].read_bytes() == new["a"].read_bytes()
    device.faults.drop_push_after = None
    again = reconnected(device)
    assert push_changed(again, old).pushed == ("a", "b")
    assert_same(device, old)


def reconnected(device):
    Adb().run("disconnect", device.serial)
    Adb().run("connect", device.serial)
    return Adb().select(device.serial)[0]


def test_too_little_room_is_seen_before_a_byte_is_pushed(device, phone, files):
    with pytest.raises(StorageFullError, match=rf"{device.serial} has 1 MB left, 17 MB are needed"):
        push_changed(phone, files, free_bytes=1_000_000)
    assert device.pushed_bytes == 0


def test_cleaning_leaves_nothing_or_what_was_pushed(device, phone, files):
    push_changed(phone, files)
    phone.read(f"touch {FOLDER}/result.json")
    clean(phone, keep_pushed=True)
    assert_same(device, files)
    assert push_changed(phone, files).pushed == ()
    clean(phone)
    assert device.files == []
    clean(phone)  # twice does no harm


def test_the_list_on_the_phone_is_one_that_sha256sum_reads(device, phone, files):
    push_changed(phone, files)
    lines = on_phone(device)["pushed.sha256"].read_text().splitlines()
    expected = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}" for name, path in files.items()]
    assert sorted(lines) == sorted(expected)
    assert phone.shell(f"cd {FOLDER} && sha256sum -c pushed.sha256").code == 0
