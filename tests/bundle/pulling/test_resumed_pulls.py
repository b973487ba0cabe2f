"""Connections that end, processes that die, and pulls that go on where another stopped."""

import signal
import subprocess
import sys
import time

import pytest
from tiny_contents import STUDENT, TEACHER, contents
from web_server import cut, status, wrong_range

from tfpwl.bundle import Bundle, pull, write_bundle
from tfpwl.errors import PullError


@pytest.mark.parametrize("name", ["manifest.json", "labels.txt", STUDENT[0], TEACHER[4]])
def test_a_connection_that_is_cut_is_taken_up_again(server, folder, tiny_bundle, name):
    server.faults[name] = [cut(100), cut(0), cut(50)] if name.endswith(".tflite") else [cut(5)]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)
    if name.endswith(".tflite"):
        assert [asked for one, asked in server.log if one == name] == [None, "bytes=100-", "bytes=100-", "bytes=150-"]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, folder, tiny_bundle):
    server.faults[TEACHER[0]] = [cut(1000)]
    with pytest.raises(PullError, match=r"g0.teacher.tflite: the connection ended after 1000 of \d+ bytes; gave up"):
        pull(server.url, folder, retries=0)
    assert (folder / ".g0.teacher.tflite.part").stat().st_size == 1000
    assert not (folder / "g0.teacher.tflite").exists()
    server.log.clear()
    pull(server.url, folder)
    assert server.log[3:5] == [("g0.teacher.tflite", "bytes=1000-"), ("b0.encoder.tflite", None)]
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_pull_of_a_whole_bundle_fetches_no_model(server, folder):
    pull(server.url, folder)
    server.log.clear()
    pull(server.url, folder)
    assert server.requested() == ["manifest.json", "manifest.sig", "labels.txt"]


def test_a_file_that_was_damaged_since_is_fetched_again(server, folder, tiny_bundle):
    pull(server.url, folder)
    path = folder / TEACHER[2]
    path.write_bytes(b"\0" * path.stat().st_size)
    server.log.clear()
    pull(server.url, folder)
    assert server.requested()[3:] == [TEACHER[2]]
    assert contents(folder) == contents(tiny_bundle.root)


def test_without_range_requests_a_file_starts_over(server, folder, tiny_bundle):
    server.ranges = False
    server.faults[STUDENT[0]] = [cut(700), cut(900)]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


@pytest.mark.parametrize("length", [10, 1300, 5000])
def test_what_is_left_of_another_file_is_thrown_away(server, folder, tiny_bundle, length):
    folder.mkdir()
    (folder / ".pulling").touch()
    (folder / ".g0.student.tflite.part").write_bytes(b"?" * length)
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_range_that_was_not_asked_for_is_not_taken(server, folder, tiny_bundle):
    server.faults[STUDENT[0]] = [cut(700), wrong_range]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_range_that_the_server_refuses_starts_over(server, folder, tiny_bundle):
    server.faults[STUDENT[0]] = [cut(700), status(416)]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_redirect_is_followed_with_the_range(server, folder, tiny_bundle):
    server.files["elsewhere"] = server.files[STUDENT[0]]
    server.faults[STUDENT[0]] = [cut(700), status(302, Location="/bundle/elsewhere")]
    pull(server.url, folder)
    assert ("elsewhere", "bytes=700-") in server.log
    assert contents(folder) == contents(tiny_bundle.root)


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("stop", range(0, 20, 2))
def test_a_pull_stopped_anywhere_leaves_a_folder_that_is_right_or_not_open(server, folder, tiny_bundle, stop):
    calls = iter(range(1000))

    def cancel(_):
        if next(calls) == stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        pull(server.url, folder, on_progress=cancel)
    for name, data in contents(folder).items():
        if name.endswith(".tflite"):
            assert data == server.files[name]
    if (folder / "manifest.json").exists():
        opened = Bundle.open(folder)
        assert [opened.read(entry) for entry in opened.chain("SSS")]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_killed_pull_is_taken_up_again(server, folder, tiny_bundle):
    def hold(handler, data):
        handler.answer(data, cut=600)
        handler.wfile.flush()
        server.closing.wait(60)
        return True

    server.faults[TEACHER[2]] = [hold]
    code = f"from tfpwl.bundle import pull; pull({server.url!r}, {str(folder)!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while TEACHER[2] not in server.requested() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert Bundle.open(folder).missing()[0].file == TEACHER[2]
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_the_writer_replaces_a_pull_that_was_given_up(server, folder, tiny_files, tiny_fields, tiny_bundle):
    server.faults[TEACHER[0]] = [cut(100)]
    with pytest.raises(PullError):
        pull(server.url, folder, retries=0)
    write_bundle(folder, files=tiny_files, **tiny_fields)
    assert contents(folder) == contents(tiny_bundle.root)
