"""The store of artifacts: what happens to it when processes die, meet, and when the disk does not take any more."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from tfpwl.errors import StoreError
from tfpwl.pipeline.store import CHECKPOINT, Store

KEY = "0123456789abcdef" * 4


def artifact(store, stage="train", text="done"):
    with store.produce(stage, KEY) as work:
        (work / "stage.json").write_text(text)
    return store.path(stage, KEY)


def holder(root, then):
    """A process that works on the stage ``train``, says so, and then does what it is told."""
    code = f"""
    import sys
    from pathlib import Path
    from tfpwl.pipeline.store import Store
    with Store(Path(sys.argv[1])).produce("train", "{KEY}") as work:
        (work / "checkpoint").mkdir(exist_ok=True)
        (work / "checkpoint" / "epoch").write_text("7")
        print("working", flush=True)
        sys.stdin.readline()
        {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"
    return process


def test_who_comes_second_waits_says_for_whom_and_finds_the_artifact(tmp_path):
    first = holder(tmp_path, '(work / "stage.json").write_text("of the first")')
    waited = []

    def let_go(name):
        waited.append(name)
        first.communicate("\n")

    with Store(tmp_path).produce("train", KEY, on_wait=let_go) as work:
        assert work is None
    assert first.returncode == 0
    assert waited == [f"process {first.pid} on {os.uname().nodename}"]
    assert (Store(tmp_path).path("train", KEY) / "stage.json").read_text() == "of the first"
    assert not (Store(tmp_path).path("train", KEY) / CHECKPOINT).exists()


def test_another_stage_need_not_wait(tmp_path):
    first = holder(tmp_path, "pass")
    with Store(tmp_path).produce("distill", KEY, on_wait=pytest.fail) as work:
        assert work is not None
    first.communicate("\n")


def test_after_a_kill_the_next_one_goes_on_from_the_checkpoint(tmp_path):
    first = holder(tmp_path, "pass")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    with Store(tmp_path).produce("train", KEY, on_wait=pytest.fail) as work:
        assert (work / CHECKPOINT / "epoch").read_text() == "7"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".locks", "train-0123456789abcdef"]


def test_made_again_an_artifact_is_there_until_the_new_one_is_whole(tmp_path):
    store = Store(tmp_path)
    final = artifact(store, text="old")

    def fail():
        with store.produce("train", KEY, again=True) as work:
            assert (final / "stage.json").read_text() == "old"
            (work / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in final.iterdir()] == ["stage.json"]
    with store.produce("train", KEY, again=True) as work:
        (work / "stage.json").write_text("new")
    assert (final / "stage.json").read_text() == "new"
    assert not list(tmp_path.glob("*.old"))


def test_what_dead_processes_left_is_cleaned_and_what_helps_or_lives_is_kept(tmp_path):
    store = Store(tmp_path)
    kept = artifact(store)
    living = holder(tmp_path / "other", "pass")
    for name in ("export-a.partial", "distill-b.partial/checkpoint", "distill-c.partial/checkpoint", "train-d.old"):
        (tmp_path / name).mkdir(parents=True)
    os.utime(tmp_path / "distill-c.partial" / "checkpoint", (0, 0))
    shutil.rmtree(tmp_path / "other" / "train-0123456789abcdef.partial" / CHECKPOINT)
    store.clean()
    Store(tmp_path / "other").clean()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".locks", "distill-b.partial", "other", kept.name]
    assert (tmp_path / "other" / "train-0123456789abcdef.partial").is_dir()
    living.communicate("\n")


def test_an_error_that_is_not_about_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images\.npz"), Store(tmp_path).produce("train", KEY):
        (tmp_path.parent / "images.npz").read_bytes()


@pytest.fixture
def small_disk(tmp_path):
    """Runs shell commands in the folder of a real, small file system of their own, which dies with them."""
    mount = tmp_path / "disk"
    mount.mkdir()

    def run(size, commands):
        script = f"mount -t tmpfs -o size={size} tmpfs {mount} && cd {mount} && {{ {commands}\n}}"
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    if run("64k", "true").returncode:
        pytest.skip("no file system can be mounted here: user namespaces are switched off")
    return run


FILL = f"""
import sys
from pathlib import Path
from tfpwl.errors import StoreError
from tfpwl.pipeline.store import Store
store = Store(Path.cwd())
try:
    with store.produce(sys.argv[1], "{KEY}") as work:
        (work / "weights").write_bytes(bytes(int(sys.argv[2])))
except StoreError as exc:
    print(exc)
"""


def test_a_full_disk_is_a_clear_error_and_finished_artifacts_stay(small_disk, tmp_path):
    (tmp_path / "fill.py").write_text(FILL)
    fill = f"{sys.executable} {tmp_path / 'fill.py'}"
    done = small_disk("256k", f"{fill} train 100000 && {fill} distill 1000000 && stat -c %s train-*/weights && ls")
    assert done.returncode == 0, done.stderr
    assert "Stage distill cannot write" in done.stdout
    assert "No space left on device. Check free space" in done.stdout.replace(": 'weights'", "")
    assert done.stdout.splitlines()[-3:-1] == ["100000", "distill-0123456789abcdef.partial"]


def test_a_read_only_folder_is_a_clear_error_and_finished_artifacts_are_found(small_disk, tmp_path):
    (tmp_path / "fill.py").write_text(FILL)
    fill = f"{sys.executable} {tmp_path / 'fill.py'}"
    look = f"{sys.executable} -c 'from tfpwl.pipeline.store import Store; from pathlib import Path; "
    look += f'print(Store(Path.cwd()).has("train", "{KEY}"))' + "'"
    done = small_disk("256k", f"{fill} train 1000 && mount -o remount,ro . && {fill} distill 1000 && {look}")
    assert done.returncode == 0, done.stderr
    assert "Stage distill cannot write" in done.stdout
    assert "Read-only file system" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"


def test_a_folder_below_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Stage train cannot write .*another folder with -o"):
        artifact(Store(tmp_path / "file"))
