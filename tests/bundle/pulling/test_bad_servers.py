"""Servers that answer something else, refuse, or say nothing; and what is no address of a bundle."""

import pytest
from tiny_contents import STUDENT, TEACHER, contents
from web_server import compressed, endless, instead, silent, status

from tfpwl.bundle import pull
from tfpwl.errors import BundleError, IntegrityError, PullError


def test_wrong_bytes_never_get_the_files_name(server, folder, tiny_bundle):
    good = server.files[TEACHER[0]]
    server.faults[TEACHER[0]] = [instead(b"\0" * len(good))]
    with pytest.raises(IntegrityError, match=r"g0.teacher.tflite: the content has another SHA-256.*is damaged or"):
        pull(server.url, folder)
    assert {path.name for path in folder.iterdir()} == {".pulling", "manifest.json", "labels.txt", *STUDENT}
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


@pytest.mark.parametrize("fault", [instead(b"x" * 100_000), instead(b"short"), endless])
def test_a_file_of_another_size_is_refused_before_it_fills_the_disk(server, folder, fault):
    server.faults[STUDENT[0]] = [fault]
    with pytest.raises(IntegrityError, match=r"announces \d+ bytes; the manifest leaves|has more than the \d+ bytes"):
        pull(server.url, folder)
    assert sum(len(data) for data in contents(folder).values()) < 5000


@pytest.mark.parametrize("fault", [instead(b" " * ((1 << 20) + 1)), endless])
def test_a_manifest_too_large_is_not_taken(server, folder, fault):
    if fault is endless:
        server.files["manifest.json"] = b" "
    server.faults["manifest.json"] = [fault]
    with pytest.raises(PullError, match=r"has more than the 1048576 bytes that manifest\.json may have"):
        pull(server.url, folder)
    assert not folder.exists()


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server, folder, tiny_bundle, code):
    server.faults = {name: [status(code, Retry_After="0")] for name in ("manifest.json", "labels.txt", STUDENT[2])}
    pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_what_does_not_pass_ends_with_the_number_of_tries(server, folder):
    server.faults["manifest.json"] = [status(500)] * 9
    with pytest.raises(PullError, match=r"manifest.json: the server answers HTTP 500; gave up after 3 tries"):
        pull(server.url, folder, retries=2)
    assert len(server.log) == 3


@pytest.mark.parametrize(
    ("name", "fault", "reason"),
    [
        ("manifest.json", status(404), r"manifest.json: no such file; expected the URL of a bundle's folder"),
        ("manifest.json", status(401), r"manifest.json: the server answers HTTP 401 Unauthorized"),
        ("manifest.json", compressed, r"sends gzip although it was asked for the file as it is"),
        ("labels.txt", status(404), r"labels.txt: there is no such file; the manifest names it"),
        ("labels.txt", instead(b"bee\nant\ncat\ndog\n"), r"labels.txt: has another SHA-256"),
        (
            STUDENT[1],
            status(404),
            r"g1.student.tflite: the server has no such file \(HTTP 404\), although",
        ),
        (
            STUDENT[1],
            status(302, Location="file:///etc/passwd"),
            "Redirection to url .file:///etc/passwd. is not",
        ),
        (STUDENT[1], status(302, Location="ftp://127.0.0.1/x"), "redirects to ftp://127.0.0.1/x; expected HTTPS"),
    ],
)
def test_refusals_of_the_server_are_told_at_once(server, folder, name, fault, reason):
    server.faults[name] = [fault]
    with pytest.raises(BundleError, match=reason):
        pull(server.url, folder)
    assert server.requested().count(name) == 1


def test_a_silent_server_is_given_up(server, folder):
    server.faults[STUDENT[0]] = [silent]
    with pytest.raises(PullError, match="no byte arrived in time; gave up after 1 tries"):
        pull(server.url, folder, timeout=0.2, retries=0)


def test_nobody_at_the_address(server, folder):
    url = server.url
    server.close()
    try:
        with pytest.raises(PullError, match="Connection refused; gave up after 2 tries"):
            pull(url, folder, retries=1)
    finally:
        server.__init__({})


@pytest.mark.parametrize(
    "url", ["file:///etc", "ftp://x/y", "bundle", "http://", "https:///x", "http://me:secret@x/y", "http://x/y#z"]
)
def test_urls_that_cannot_be_a_bundle_are_refused(url, folder):
    with pytest.raises(PullError, match="Received the URL"):
        pull(url, folder)


def test_a_query_goes_with_every_request(server, folder, tiny_bundle, monkeypatch):
    seen = []
    monkeypatch.setattr("web_server.Handler.log_message", lambda handler, *_: seen.append(handler.path))
    pull(server.url + "/?token=1%202", folder)
    assert contents(folder) == contents(tiny_bundle.root)
    assert len(set(seen)) == 13
    assert all(path.endswith("?token=1%202") for path in seen)
