from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tfpwl.cli.main import COMMANDS

# Runs the command line, then prints which of the named modules it has loaded.
LOADED = """
import json, sys
from tfpwl.cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as exc:
    code = exc.code
print(json.dumps([code, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]))
"""
ON_A_BUNDLE = [["inspect"], ["verify"], ["run", "--data", "digits"], ["evaluate", "--data", "digits"]]
TRAINING = ["tensorflow", "keras", "tf_keras", "pydantic", "sklearn", "matplotlib", "jax", "torch"]


def _loaded(*arguments, names=TRAINING):
    command = [sys.executable, "-c", LOADED, json.dumps(names), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(tfpwl, command):
    result = tfpwl(command, "--help")
    assert result.code == 0
    assert f"Example:\n    tfpwl {command}" in result.out


def test_help_lists_every_command(tfpwl):
    result = tfpwl("--help")
    assert result.code == 0
    assert all(f"\n  {command} " in result.out for command in COMMANDS)


def test_help_loads_nothing_heavy():
    assert _loaded("--help", names=[*TRAINING, "ai_edge_litert"]) == [0, []]


def test_inspect_loads_nothing_heavy(root):
    assert _loaded("inspect", root, names=[*TRAINING, "ai_edge_litert"]) == [0, []]


def test_running_a_bundle_loads_nothing_of_training(root, npz):
    assert _loaded("run", root, "--data", npz) == [0, []]


def test_evaluating_a_bundle_loads_nothing_of_training(root, npz):
    assert _loaded("evaluate", root, "--data", npz) == [0, []]


def test_unknown_command_names_the_nearest(tfpwl):
    result = tfpwl("inspec", "x")
    assert result.code == 2
    assert "No such command 'inspec'. Did you mean 'inspect'? Commands: init, build" in result.err


@pytest.mark.parametrize("arguments", [["--nope"], ["inspect", "--nope", "x"], ["inspect"], ["run", "x"]])
def test_wrong_use_exits_2_with_the_usage(tfpwl, arguments):
    result = tfpwl(*arguments)
    assert result.code == 2
    assert "Usage: tfpwl" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", ON_A_BUNDLE)
def test_missing_folder_exits_2(tfpwl, tmp_path, command):
    result = tfpwl(*command, tmp_path / "nowhere")
    assert result.code == 2
    assert f"No bundle at {tmp_path / 'nowhere'}: the folder does not exist." in result.err


@pytest.mark.parametrize("command", ON_A_BUNDLE)
def test_folder_of_a_build_names_the_bundle_inside(tfpwl, root, command):
    root.rename(root.with_name("bundle"))
    result = tfpwl(*command, root.parent)
    assert result.code == 2
    assert f"{root.parent} is the folder of a build; its bundle is {root.parent / 'bundle'}." in result.err


def test_unknown_key_in_a_pipeline_exits_2_and_names_line_and_nearest_key(tfpwl, tmp_path):
    pipeline = tmp_path / "my.yaml"
    pipeline.write_text("name: my\ndata: {name: digits}\nteacher:\n  family: lenet5\n  trian: {epochs: 3}\n")
    result = tfpwl("build", pipeline)
    assert result.code == 2
    assert f"{pipeline}:5: unknown key `teacher.trian`; did you mean `train`?" in result.err


def test_missing_pipeline_exits_2(tfpwl, tmp_path):
    result = tfpwl("evaluate", tmp_path / "no.yaml")
    assert result.code == 2
    assert "No such pipeline" in result.err


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_reader_of_the_output_that_goes_away_is_no_error(root, json_flag):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tfpwl", "inspect", *json_flag, str(root)],
            stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_verdict_outlives_the_reader_of_the_output(root, json_flag):
    """As in CI: ``tfpwl verify BUNDLE | head -1`` under ``pipefail``."""
    file = root / "g1.student.tflite"
    file.write_bytes(bytes(file.stat().st_size))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tfpwl", "verify", *json_flag, str(root)],
            stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
