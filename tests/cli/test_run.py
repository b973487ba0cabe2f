from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfpwl.cli.run_session import Schedule
from tfpwl.mix import Mix


@pytest.fixture
def images(tmp_path):
    """Two gray images, larger than the bundle's input, in a folder without sub-folders."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shade in (("dark.png", 20), ("light.png", 230)):
        Image.new("RGB", (24, 24), (shade, shade, shade)).save(folder / name)
    return folder


def test_answers_every_image_and_ends_with_the_teacher(tfpwl, root, npz):
    result = tfpwl("run", root, "--data", npz, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert (found["mix"], found["error"], found["num_images"]) == ("TTT", None, 40)
    assert found["mixes"][0]["mix"] == "SSS"
    assert found["mixes"][-1]["mix"] == "TTT"
    assert sum(entry["images"] for entry in found["mixes"]) >= 40


def test_pace_gives_every_mix_of_the_path_an_equal_share(tfpwl, root, npz, tiny_bundle, labelled):
    result = tfpwl("run", root, "--data", npz, "--pace", "0.01", "--json")
    found = json.loads(result.out)
    assert [entry["mix"] for entry in found["mixes"]] == ["SSS", "TSS", "TTS", "TTT"]
    # Ten each; a group that takes long to load leaves some of its answers to the mix before.
    assert sum(entry["answers"] for entry in found["mixes"]) >= 40
    assert found["mixes"][0]["answers"] >= 10


def test_accuracy_of_a_mix_is_that_of_its_answers(tfpwl, root, tmp_path, tiny_bundle, labelled):
    # One label that is the student's own answer: right for the student, whatever image comes first.
    from tfpwl.runtime import ProgressiveModel

    x = labelled[0][:1]
    with ProgressiveModel.open(root) as model:
        y = model.predict(model.preprocess(x)).argmax(axis=-1)
    np.savez(tmp_path / "one.npz", x=x, y=y)
    found = json.loads(tfpwl("run", root, "--data", tmp_path / "one.npz", "--json").out)
    assert found["mixes"][0]["accuracy"] == 1.0


def test_image_gets_three_classes_from_the_student_and_then_from_the_teacher(tfpwl, root, images):
    result = tfpwl("run", root, "--data", images / "dark.png")
    assert result.code == 0
    lines = [line for line in result.out.splitlines() if line.startswith("dark.png")]
    assert lines[0].split()[1] == "SSS"
    assert lines[-1].split()[1] == "TTT"
    assert all(line.count("%") == 3 for line in lines)
    assert any(name in lines[0] for name in ("ant", "bee", "cat", "dog"))


def test_folder_of_images_without_classes_gets_an_answer_each(tfpwl, root, images):
    result = tfpwl("run", root, "--data", images, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert sorted(entry["name"] for entry in found["predictions"]) == ["dark.png", "light.png"]
    assert all(entry["accuracy"] is None for entry in found["mixes"])


def test_watch_without_a_terminal_prints_a_line_per_mix(tfpwl, root, npz):
    result = tfpwl("run", root, "--data", npz, "--watch", "--pace", "0.01")
    assert result.code == 0
    assert [line.split()[0] for line in result.err.splitlines()] == ["SSS", "TSS", "TTS", "TTT"]
    assert "ms median" in result.out


def test_limit_keeps_so_many_images(tfpwl, root, npz):
    assert json.loads(tfpwl("run", root, "--data", npz, "--limit", 7, "--json").out)["num_images"] == 7


def test_changed_byte_in_the_student_exits_2_and_names_the_file(tfpwl, root, npz, flip_byte):
    flip_byte(root / "g1.student.tflite")
    result = tfpwl("run", root, "--data", npz)
    assert result.code == 2
    assert "g1.student.tflite: the content has SHA-256" in result.err
    assert "Traceback" not in result.err


def test_changed_byte_in_the_teacher_exits_2_after_the_answers(tfpwl, root, npz, flip_byte):
    flip_byte(root / "g1.teacher.tflite")
    result = tfpwl("run", root, "--data", npz, "--json")
    assert result.code == 2
    found = json.loads(result.out)
    assert found["mix"] == "TSS"
    assert "g1.teacher.tflite" in found["error"]
    assert result.err.count("g1.teacher.tflite") == 1


def test_interrupt_ends_with_the_table(root, npz):
    command = [sys.executable, "-u", "-m", "tfpwl", "run", str(root), "--data", str(npz), "--watch", "--pace", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The line of the first mix: it answers now.
        assert process.stderr.readline().startswith("SSS")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted at SSS" in out
    assert "ms median" in out
    assert err == ""


def test_schedule_without_a_pace_upgrades_after_the_first_answer():
    assert Schedule.make(40, (0, 1), 0.0) == Schedule(40, {1: None}, 0.0)


def test_schedule_with_a_pace_shares_the_answers_and_the_time():
    # 90 answers for three mixes of 2 s would be 15 a second; twenty are the least.
    schedule = Schedule.make(90, (1, 0), 2.0)
    assert schedule == Schedule(120, {40: Mix("ST"), 80: Mix("TT")}, 0.05)
    assert Schedule.make(3000, (1, 0), 2.0) == Schedule(3000, {1000: Mix("ST"), 2000: Mix("TT")}, 0.002)
