from __future__ import annotations

import datetime
import hashlib
import ipaddress
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Next to this file; pytest puts its folder on the path.
from web_server import WebServer, compressed, cut, endless, instead, silent, status, wrong_range

from tfpwl.bundle import Bundle, download, pull, sign, update_manifest, verify, write_bundle
from tfpwl.errors import BundleError, IntegrityError, ManifestError, PullError, SignatureError
from tfpwl.runtime import ProgressiveModel

STUDENT = ["g0.student.tflite", "g1.student.tflite", "g2.student.tflite"]
# Prefix order: b0.encoder leads from g0's teacher to g1's student, and so on.
TEACHER = ["g0.teacher.tflite", "b0.encoder.tflite", "g1.teacher.tflite", "b1.encoder.tflite", "g2.teacher.tflite"]
REST = ["b0.decoder.tflite", "b1.decoder.tflite"]


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(tiny_bundle):
    server = WebServer(contents(tiny_bundle.root))
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pulled"


def test_a_pulled_bundle_is_the_one_on_the_server(server, folder, tiny_bundle):
    bundle = pull(server.url, folder)
    assert bundle == replace(tiny_bundle, root=folder)
    assert contents(folder) == contents(tiny_bundle.root)
    assert all(check.passed for check in verify(folder))


def test_files_come_in_the_order_they_are_needed(server, folder):
    pull(server.url + "/", folder)
    assert server.requested() == ["manifest.json", "manifest.sig", "labels.txt", *STUDENT, *TEACHER, *REST]


def test_another_order_of_groups_is_another_order_of_files(server, folder, tiny_bundle):
    update_manifest(tiny_bundle, order=(2, 1, 0))
    server.files = contents(tiny_bundle.root)
    pull(server.url + "/manifest.json", folder)
    assert server.requested()[3:8] == [*STUDENT, "b1.decoder.tflite", "g2.teacher.tflite"]


def test_progress_counts_every_byte_and_names_each_mix_when_it_can_run(server, folder, tiny_bundle):
    seen = []
    pull(server.url, folder, on_progress=seen.append)
    assert [progress.done_bytes for progress in seen] == sorted(progress.done_bytes for progress in seen)
    assert seen[-1].done_bytes == seen[-1].total_bytes == sum(entry.bytes for entry in tiny_bundle.files())
    assert list(dict.fromkeys(progress.mix for progress in seen)) == [None, "SSS", "TSS", "TTS", "TTT"]


def test_a_model_answers_when_the_student_is_there_and_grows_with_what_arrives(server, folder, tiny_bundle):
    x = tiny_bundle.manifest.input.preprocess([[[0.5]] * 6] * 6)
    models, errors, answers = [], [], {}

    def advanced(progress):
        if progress.mix is not None and not models:
            models.append(ProgressiveModel.open(folder))
            answers["SSS"] = models[0].predict(x)
            with pytest.raises(IntegrityError) as caught:
                models[0].upgrade(background=False)
            errors.append(str(caught.value))
            assert models[0].mix == "SSS"
            assert (models[0].predict(x) == answers["SSS"]).all()
        if progress.mix not in (None, "SSS") and progress.mix not in answers:
            models[0].upgrade(until=progress.mix, background=False)
            answers[str(progress.mix)] = models[0].predict(x)

    pull(server.url, folder, on_progress=advanced)
    (model,) = models
    assert "g0.teacher.tflite" in errors[0]
    assert "The bundle has not arrived as a whole; run `tfpwl pull` again." in errors[0]
    assert model.mix == "TTT"
    model.close()
    with ProgressiveModel.open(tiny_bundle) as whole:
        for mix, answer in answers.items():
            whole.upgrade(until=mix, background=False)
            # The same bytes through the same engine: the same bits.
            assert (whole.predict(x) == answer).all()


def test_a_folder_whose_student_has_not_arrived_says_so(server, folder):
    server.faults[STUDENT[1]] = [status(403)]
    with pytest.raises(PullError, match=r"g1.student.tflite: the server answers HTTP 403"):
        pull(server.url, folder)
    with pytest.raises(ManifestError, match="has not arrived as a whole yet; run `tfpwl pull` again"):
        Bundle.open(folder)


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


def test_a_redirect_is_followed_with_the_range(server, folder, tiny_bundle):
    server.files["elsewhere"] = server.files[STUDENT[0]]
    server.faults[STUDENT[0]] = [cut(700), status(302, Location="/bundle/elsewhere")]
    pull(server.url, folder)
    assert ("elsewhere", "bytes=700-") in server.log
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_silent_server_is_given_up(server, folder):
    server.faults[STUDENT[0]] = [silent]
    started = time.monotonic()
    with pytest.raises(PullError, match="no byte arrived in time; gave up after 1 tries"):
        pull(server.url, folder, timeout=0.2, retries=0)
    # Sooner than the server speaks again; not a measurement.
    assert time.monotonic() - started < 1.4


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


def test_a_demanded_signature_is_checked_before_anything_else_is_fetched(server, folder, tiny_bundle, keys, other_keys):
    with pytest.raises(SignatureError, match="the bundle is not signed"):
        pull(server.url, folder, public_key=keys.public)
    sign(tiny_bundle, keys.private)
    server.files = contents(tiny_bundle.root)
    with pytest.raises(SignatureError, match="does not fit"):
        pull(server.url, folder, public_key=other_keys.raw)
    assert set(server.requested()) == {"manifest.json", "manifest.sig"}
    assert not folder.exists()
    pull(server.url, folder, public_key=keys.public)
    assert Bundle.open(folder, public_key=keys.public).is_signed


def test_a_key_that_cannot_be_used_is_told_before_the_network_is(server, folder, tmp_path):
    with pytest.raises(SignatureError, match=r"none.pem cannot be read"):
        pull(server.url, folder, public_key=tmp_path / "none.pem")
    assert server.log == []


@pytest.fixture
def other_bundle(tmp_path, tiny_files, tiny_fields):
    """The next version on the server: another teacher of group 0, and a student of group 1."""
    files = {**tiny_files, "g0.teacher": tiny_files["g0.teacher"] + b"\0" * 4}
    files["g1.student"] = files["g1.student"] + b"\0" * 4
    return write_bundle(tmp_path / "other", files=files, **{**tiny_fields, "name": "other"})


@pytest.mark.parametrize("stopped_at", [STUDENT[1], TEACHER[0], TEACHER[3]])
def test_a_bundle_that_changed_between_two_calls_becomes_the_new_one(server, folder, other_bundle, stopped_at):
    server.faults[stopped_at] = [cut(300)]
    with pytest.raises(PullError):
        pull(server.url, folder, retries=0)
    server.files = contents(other_bundle.root)
    # Stopped again, before the new student is whole: never the old manifest with new files.
    server.faults[STUDENT[1]] = [cut(300)]
    with pytest.raises(PullError):
        pull(server.url, folder, retries=0)
    with pytest.raises(ManifestError, match="has not arrived"):
        Bundle.open(folder)
    pull(server.url, folder)
    assert contents(folder) == contents(other_bundle.root)


def test_a_whole_bundle_is_not_changed_by_another_one(server, folder, tiny_bundle, other_bundle):
    pull(server.url, folder)
    server.files = contents(other_bundle.root)
    with pytest.raises(BundleError, match=r"holds another bundle, whole, which may be in use\. Pull into a new one"):
        pull(server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_a_folder_with_something_else_is_left_alone(server, folder):
    folder.mkdir()
    (folder / "notes.md").write_text("dear")
    with pytest.raises(BundleError, match=r"it holds 'notes.md'\), so it is left alone"):
        pull(server.url, folder)
    assert contents(folder) == {"notes.md": b"dear"}


def test_two_pulls_do_not_write_into_one_folder(server, folder):
    reasons = []

    def again(_):
        if not reasons:
            with pytest.raises(BundleError) as caught:
                pull(server.url, folder)
            reasons.append(str(caught.value))

    pull(server.url, folder, on_progress=again)
    assert "Another pull is at work in" in reasons[0]


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
        time.sleep(1.0)
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


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate of 127.0.0.1 and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=2099))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*encodings) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_server(tiny_bundle, certificate):
    server = WebServer(contents(tiny_bundle.root), certificate)
    yield server
    server.close()


def test_https_with_a_certificate_that_is_trusted(tls_server, folder, tiny_bundle, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    pull(tls_server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_https_with_a_certificate_that_is_not_trusted(tls_server, folder):
    with pytest.raises(PullError, match="the server's certificate is not trusted: self"):
        pull(tls_server.url, folder)
    assert tls_server.log == []


def test_https_does_not_lead_to_http(tls_server, server, folder, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_server.faults[STUDENT[0]] = [status(302, Location=f"{server.url}/{STUDENT[0]}")]
    with pytest.raises(PullError, match=r"redirects to http://.*; expected HTTPS after HTTPS"):
        pull(tls_server.url, folder)
    assert server.log == []


def test_the_sums_are_those_of_the_manifest(tiny_bundle):
    """Guards the tests above: what they serve is what hashlib says of the files, not what our reader says."""
    for entry in tiny_bundle.files():
        data = (tiny_bundle.root / entry.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.bytes, entry.sha256)
