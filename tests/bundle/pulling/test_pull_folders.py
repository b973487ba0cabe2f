"""Folders that hold another bundle, something else, or another pull at work."""

import pytest
from tiny_contents import STUDENT, TEACHER, contents
from web_server import cut

from tfpwl.bundle import Bundle, pull, write_bundle
from tfpwl.errors import BundleError, ManifestError, PullError


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
