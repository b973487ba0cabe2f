from __future__ import annotations

import random

import pytest
from adbd.device import Faults, Profile

from tfpwl.bench.android.adb import Adb
from tfpwl.errors import (
    DeviceError,
    DeviceOfflineError,
    DeviceTimeoutError,
    MissingDependencyError,
    NoDeviceError,
    StorageFullError,
    UnauthorizedError,
)

BIG = 3_000_000


def only(timeout_s=300.0):
    (phone,) = Adb(timeout_s=timeout_s).select()
    return phone


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big.bin"
    path.write_bytes(random.Random(0).randbytes(BIG))
    return path


@pytest.mark.parametrize("shell_v2", [True, False])
@pytest.mark.parametrize("mounts", [None, False])
def test_exit_code_and_output_come_back_from_both_kinds_of_shell(connect, shell_v2, mounts):
    connect(Profile(shell_v2=shell_v2), mounts=mounts)
    done = only().shell("echo out; echo err >&2; printf last; exit 7")
    assert done.code == 7
    assert sorted(done.output.split("\n")) == ["err", "last", "out"]
    assert only().shell("true").code == 0
    assert only().shell("sh -c 'kill -SEGV $$'").code == 128 + 11


@pytest.mark.parametrize("shell_v2", [True, False])
def test_the_emulated_phone_loses_exit_codes_without_shell_v2(connect, shell_v2):
    """What the marker line is for: adb itself says 0."""
    connect(Profile(shell_v2=shell_v2))
    done = Adb().run("shell", "exit 7")
    assert done.returncode == (7 if shell_v2 else 0)


def test_output_that_looks_like_the_marker_is_output(connect):
    connect()
    done = only().shell("echo tfpwl-0123456789abcdef:0; exit 3")
    assert (done.code, done.output) == (3, "tfpwl-0123456789abcdef:0\n")


@pytest.mark.parametrize("mounts", [None, False])
def test_files_go_there_and_back_unchanged(connect, big, tmp_path, mounts):
    device = connect(mounts=mounts)
    only().push(big, "/data/local/tmp/new/folder/big.bin")
    assert device.files == ["new", "new/folder", "new/folder/big.bin"]
    only().pull("/data/local/tmp/new/folder/big.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()


def test_a_file_that_is_not_there_is_named(connect, tmp_path):
    connect()
    with pytest.raises(DeviceError, match=r"while /data/local/tmp/no was pulled on 127.*No such file"):
        only().pull("/data/local/tmp/no", tmp_path / "no")


def test_unauthorised(connect):
    device = connect(Profile(faults=Faults(authorised=False)))
    with pytest.raises(UnauthorizedError, match=f"{device.serial} does not trust this computer .*allow USB debugging"):
        only().shell("true")


def test_connection_dropped_in_the_middle_of_a_push(connect, big):
    device = connect(Profile(faults=Faults(drop_push_after=BIG // 2)))
    with pytest.raises(DeviceOfflineError, match=f"connection to {device.serial} was lost while big.bin was pushed"):
        only().push(big, "/data/local/tmp/big.bin")
    assert 0 < device.pushed_bytes < BIG


def test_storage_full_in_the_middle_of_a_push(connect, big):
    device = connect(Profile(faults=Faults(free_bytes=BIG // 2)))
    with pytest.raises(
        StorageFullError, match=rf"storage of {device.serial} is full while big.bin was pushed\. Delete"
    ):
        only().push(big, "/data/local/tmp/big.bin")
    assert device.files == []
    assert only().shell("true").code == 0  # it is still there


@pytest.mark.parametrize("shell_v2", [True, False])
def test_offline_in_the_middle_of_a_command(connect, shell_v2):
    device = connect(Profile(shell_v2=shell_v2, faults=Faults(offline_at="measure")))
    with pytest.raises(DeviceOfflineError, match=f"connection to {device.serial} was lost during `measure`"):
        only().shell("measure")
    with pytest.raises(DeviceOfflineError, match="offline"):
        only().shell("true")


def test_a_phone_that_does_not_answer(connect):
    device = connect(Profile(faults=Faults(silent_at="measure")))
    # Any time is too short for a phone that never answers.
    with pytest.raises(DeviceTimeoutError, match=f"{device.serial} gave no answer to `adb shell`: no answer for 1 s"):
        only().shell("measure", timeout_s=1)


class TestSelect:
    def test_nothing_is_connected(self, adb_port, monkeypatch):
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_port)
        with pytest.raises(NoDeviceError, match=r"No phone is connected\. Switch on USB debugging"):
            Adb().select()

    def test_one_of_two_has_to_be_named(self, connect, monkeypatch):
        one, two = sorted([connect().serial, connect().serial])
        with pytest.raises(NoDeviceError, match=r"2 phones are connected; name one, or all: 127"):
            Adb().select()
        assert sorted(phone.serial for phone in Adb().select("all")) == [one, two]
        assert [phone.serial for phone in Adb().select(two)] == [two]
        monkeypatch.setenv("ANDROID_SERIAL", one)
        assert [phone.serial for phone in Adb().select()] == [one]

    def test_another_serial_is_refused(self, connect):
        device = connect()
        with pytest.raises(NoDeviceError, match=f"No phone 'pixel' is connected. Connected: {device.serial}."):
            Adb().select("pixel")

    def test_no_adb(self):
        with pytest.raises(
            MissingDependencyError, match=r"adb-of-nowhere is not installed\. On Debian: apt-get install"
        ):
            Adb("adb-of-nowhere").select()
