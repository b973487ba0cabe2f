"""Builds that are killed, that meet in one folder, and that run out of disk: real processes, real file systems."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_build.py"
# Every kind of stage that trains, and the precision chosen by what does not depend on the clock.
STAGES = """
prune: {side: teacher, target: {flops: 0.2}, steps: 2, epochs_per_step: 1, round_to: 1}
quantize: {ladder: [fp16, w8], select: smallest, gate: {max_drop: 100}}
"""


@pytest.fixture
def pipeline(pipeline_text, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(pipeline_text)
    return path


def test_killed_twenty_times_a_build_ends_with_the_bytes_of_an_undisturbed_one(pipeline, tmp_path):
    pipeline.write_text(pipeline.read_text() + STAGES)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(pipeline), "--kills", "20", "--output", str(tmp_path / "out")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    kills = re.findall(r"^kill \d+: (.*)$", done.stdout, re.MULTILINE)
    assert len(kills) == 20
    # Not all at one place: the seed spreads them over training, files and renames.
    assert len({kill.split()[0] for kill in kills}) >= 4, kills
    assert re.search(r"20 kills, [1-9]\d* bundles compared, 0 differ", done.stdout)


BUILD = """
import json, sys
from pathlib import Path
from tiny_pipeline import Recorder
from tfpwl.config import load_config
from tfpwl.pipeline import build
recorder = Recorder()
build(load_config(Path(sys.argv[1])), Path(sys.argv[2]), reporter=recorder)
print(json.dumps({"ran": recorder.ran, "waited": recorder.waited}))
"""


def test_two_builds_in_one_folder_run_each_stage_once(pipeline, built, tmp_path):
    command = [sys.executable, "-c", BUILD, str(pipeline), str(tmp_path / "out")]
    both = [
        subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    told = [json.loads(out) for out, _ in answers]
    assert sorted(told[0]["ran"] + told[1]["ran"]) == ["distill", "evaluate", "export", "train"]
    holders = {f"process {process.pid}" for process in both}
    assert {name.partition(" on ")[0] for one in told for _, name in one["waited"]} <= holders
    for file in built.bundle.root.glob("*.tflite"):
        assert (tmp_path / "out" / "bundle" / file.name).read_bytes() == file.read_bytes()


def test_a_build_on_a_full_disk_ends_with_one_message_and_goes_on_when_there_is_room(pipeline, built, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for the teacher; distilling needs more.
    teacher = sum(file.stat().st_size for file in built.artifacts["train"].iterdir())
    build = f"{sys.executable} -m tfpwl build {pipeline} -o {disk}/out"
    script = f"""
        mount -t tmpfs -o size={4 * teacher} tmpfs {disk} || exit 77
        {build}; echo "exit $?"; ls {disk}/out/stages
        mount -o remount,size=64m {disk}
        {build}; echo "exit $?"
        mount -o remount,ro {disk}
        {build}; echo "exit $?"
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here: user namespaces are switched off")
    assert re.findall(r"^exit (\d+)$", done.stdout, re.MULTILINE) == ["2", "0", "2"], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    first, last = re.findall(r"^Error: (.*)$", done.stderr, re.MULTILINE)
    assert "No space left on device" in first
    assert "finished stages are kept" in first
    assert "Read-only file system" in last
    assert re.search(r"^train +already there", done.stderr, re.MULTILINE)
