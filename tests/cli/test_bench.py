from __future__ import annotations

import json

import pytest

QUICK = ("--repeats", 1, "--steady", 0, "--threads-asking", 0, "--rounds", 0, "--only", "warm")


@pytest.fixture
def rivals(root, tiny_whole):
    folder = root.parent / "rivals"
    folder.mkdir()
    for side, content in tiny_whole.items():
        (folder / f"{side}.fp32.tflite").write_bytes(content)
    return folder


def test_json_has_raw_figures_and_every_demand(tfpwl, root, rivals):
    result = tfpwl("bench", root, "--rivals", *QUICK, "--json", "-")
    assert result.code == 0
    found = json.loads(result.out)
    assert {start["name"] for start in found["starts"]} >= {"bundle", "student, one piece", "teacher, one piece"}
    names = {demand["name"]: demand for demand in found["demands"]}
    start = names["create + first answer, warm: bundle, asked while it loads / student, one piece"]
    assert start["met"] == (start["value"] <= 1.3)
    upgrade = names["worst answer during 1 upgrades / steady median of the slower mix"]
    assert not upgrade["met"]  # one upgrade is not enough to judge


def test_tables_files_and_exit_code_of_a_missed_demand(tfpwl, root, rivals, tmp_path):
    files = {name: tmp_path / name for name in ("out.json", "out.md", "out.png")}
    result = tfpwl(
        "bench", root, "--rivals", *QUICK, "--check", "--json", files["out.json"], "--markdown", files["out.md"],
        "--figure", files["out.png"],
    )  # fmt: skip
    assert result.code == 1  # one upgrade is too few
    assert "not met (measured too" in result.out
    assert "tiny: start, warm" in result.out
    assert json.loads(files["out.json"].read_text())["name"] == "tiny"
    assert "**tiny: demands**" in files["out.md"].read_text()
    assert files["out.png"].read_bytes().startswith(b"\x89PNG")
    assert "Note: Medians of 1 processes" in result.err


def test_a_bundle_alone_needs_no_rivals(tfpwl, root):
    result = tfpwl("bench", root, *QUICK)
    assert result.code == 0
    assert "teacher, one piece" not in result.out


def test_given_files_take_the_place_of_the_folder(tfpwl, root, tiny_whole, tmp_path):
    teacher = tmp_path / "t.tflite"
    teacher.write_bytes(tiny_whole["teacher"])
    result = tfpwl("bench", root, "--one-piece-teacher", teacher, *QUICK, "--json", "-")
    assert result.code == 0
    assert "no student in one piece" in result.err
    assert "teacher, one piece" in {start["name"] for start in json.loads(result.out)["starts"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rivals"], "give --one-piece-teacher and --one-piece-student"),
        (["--one-piece-teacher", "nowhere.tflite"], "There is no file nowhere.tflite"),
        (["--repeats", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_use_exits_2(tfpwl, root, arguments, message):
    result = tfpwl("bench", root, *arguments)
    assert result.code == 2
    assert message in " ".join(result.err.split())
