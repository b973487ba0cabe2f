"""``tfpwl sign``, ``pack``, ``unpack`` and ``pull``."""

from __future__ import annotations

import functools
import http.server
import threading

import pytest

from tfpwl.bundle import Bundle
from tfpwl.runtime.tiers import Requirements, Tiers, describe_tier, write_tiers


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not into the stderr that the tests read."""


@pytest.fixture
def url(root, monkeypatch):
    """The tiny bundle on a web server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(QuietHandler, directory=str(root.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{root.name}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_sign_says_what_it_signed(tfpwl, root, key_files):
    result = tfpwl("sign", root, "--key", key_files[0])
    assert result.code == 0
    assert result.out == f"Signed 'tiny', 10 files: {root / 'manifest.sig'}\n"


def test_sign_with_no_key_exits_2(tfpwl, root, tmp_path):
    result = tfpwl("sign", root, "--key", tmp_path / "none.pem")
    assert result.code == 2
    assert result.err.startswith(f"Error: The key file {tmp_path / 'none.pem'} cannot be read: No such file")


def test_pack_and_unpack_give_back_the_folder(tfpwl, root, tmp_path):
    result = tfpwl("pack", root)
    assert result.code == 0
    packed = tmp_path / "tiny.tfpwl"
    assert str(packed) in result.out
    assert tfpwl("unpack", packed, "-o", tmp_path / "back").code == 0
    assert contents(tmp_path / "back") == contents(root)


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_commands_take_a_pack_for_a_bundle(tfpwl, root, tmp_path, command):
    tfpwl("pack", root, "-o", tmp_path / "x.tfpwl")
    result = tfpwl(command, tmp_path / "x.tfpwl")
    assert result.code == 0
    assert result.err == "" or "Traceback" not in result.err


def test_run_and_evaluate_take_a_pack(tfpwl, root, tmp_path, npz):
    tfpwl("pack", root, "-o", tmp_path / "x.tfpwl")
    assert tfpwl("run", tmp_path / "x.tfpwl", "--data", npz).code == 0
    assert tfpwl("evaluate", tmp_path / "x.tfpwl", "--data", npz).code == 0


def test_damaged_pack_exits_2(tfpwl, root, tmp_path):
    tfpwl("pack", root, "-o", tmp_path / "x.tfpwl")
    (tmp_path / "x.tfpwl").write_bytes((tmp_path / "x.tfpwl").read_bytes()[:-7])
    result = tfpwl("unpack", tmp_path / "x.tfpwl", "-o", tmp_path / "back")
    assert result.code == 2
    assert "does not end as a zip without a comment does; it may be cut short" in result.err


def test_pull_tells_when_the_student_is_there(tfpwl, root, url, tmp_path):
    result = tfpwl("pull", url, "-o", tmp_path / "pulled")
    assert result.code == 0
    lines = result.err.splitlines()
    assert lines[0] == f"SSS is there; {tmp_path / 'pulled'} can be opened from now on"
    assert lines[1:] == ["TSS is there", "TTS is there", "TTT is there"]
    assert result.out.startswith("'tiny' is whole: 10 files, ")
    assert contents(tmp_path / "pulled") == contents(root)


def test_pull_demands_the_signature(tfpwl, root, url, tmp_path, key_files):
    key, public_key = key_files
    unsigned = tfpwl("pull", url, "-o", tmp_path / "pulled", "--public-key", public_key)
    assert unsigned.code == 2
    assert "the bundle is not signed" in unsigned.err
    tfpwl("sign", root, "--key", key)
    assert tfpwl("pull", url, "-o", tmp_path / "pulled", "--public-key", public_key).code == 0
    assert Bundle.open(tmp_path / "pulled", public_key=public_key).is_signed


@pytest.mark.parametrize("arguments", [["http://127.0.0.1:9/x"], ["pull-me"], ["file:///etc"]])
def test_pull_of_nothing_exits_2(tfpwl, tmp_path, arguments):
    result = tfpwl("pull", *arguments, "-o", tmp_path / "pulled", "--retries", "0")
    assert result.code == 2
    assert result.err.startswith("Error: ")
    assert not (tmp_path / "pulled").exists()


def test_asset_packs_are_told_with_their_delivery(tfpwl, root, tmp_path):
    result = tfpwl("pack", root, "--asset-packs", tmp_path / "packs", "--delivery", "on-demand")
    assert result.code == 0, result.err
    first, second = result.out.splitlines()
    assert first.startswith(f"{tmp_path / 'packs' / 'tiny_student'}: install-time, ")
    assert second.startswith(f"{tmp_path / 'packs' / 'tiny_teacher'}: on-demand, ")
    again = tfpwl("pack", root, "--asset-packs", tmp_path / "packs")
    assert again.code == 2
    assert "exists, so it is left alone" in again.err


def test_each_tier_is_packed_for_its_device_group(tfpwl, root, tmp_path):
    tier = describe_tier("low", Bundle.open(root), root.name, requires=Requirements())
    write_tiers(tmp_path / "tiers.json", Tiers("my_tiers", (tier,), ("low",), "low"))
    result = tfpwl("pack", tmp_path / "tiers.json", "--asset-packs", tmp_path / "packs")
    assert result.code == 0, result.err
    folder = tmp_path / "packs" / "my_tiers_teacher" / "src" / "main" / "assets" / "my_tiers#group_low"
    assert sorted(path.name for path in folder.glob("g*")) == [f"g{i}.teacher.tflite" for i in range(3)]


def test_a_file_and_asset_packs_at_once_exit_2(tfpwl, root, tmp_path):
    result = tfpwl("pack", root, "-o", tmp_path / "x.tfpwl", "--asset-packs", tmp_path / "packs")
    assert result.code == 2
    assert "not both" in result.err
