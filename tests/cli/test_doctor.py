from __future__ import annotations

import configparser
import json
import re
import sys
from pathlib import Path

import pytest

from tfpwl.cli import doctor, doctor_checks, runtime_probe
from tfpwl.cli.doctor_checks import PACKAGES, Found, Package, keras_backend


def test_finds_the_device_side_at_work(tfpwl):
    result = tfpwl("doctor", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["ok"]
    assert found["runtime"] == {"ok": True, "detail": "ran a tiny file with XNNPACK"}
    assert found["packages"]["numpy"]["ok"]
    assert found["system"]["python"] == sys.version.split()[0]
    assert found["data_sets"]["digits"] == "scikit-learn"


def test_prints_it_for_people(tfpwl):
    result = tfpwl("doctor")
    assert result.code == 0
    assert "Bundles can be run here." in result.out


def test_missing_package_of_the_device_side_exits_1_with_the_command(tfpwl, monkeypatch):
    missing = Package("no-such-package", "1.0", "device", "nothing", "pip install no-such-package")
    monkeypatch.setattr(doctor_checks, "PACKAGES", (*PACKAGES, missing))
    result = tfpwl("doctor")
    assert result.code == 1
    assert "no-such-package (to run bundles):\n    pip install -U no-such-package" in result.out
    assert "Bundles cannot be run here." in result.out


def test_missing_package_of_the_training_side_is_no_error(tfpwl, monkeypatch):
    missing = Package("no-such-package", "1.0", "train", "nothing", doctor_checks.TRAIN)
    monkeypatch.setattr(doctor_checks, "PACKAGES", (*PACKAGES, missing))
    result = tfpwl("doctor")
    assert result.code == 0
    assert "no-such-package (to make bundles):\n    pip install 'tfpwl[train]'" in result.out


def test_runtime_that_does_not_work_exits_1(tfpwl, monkeypatch):
    monkeypatch.setattr(doctor, "probe_runtime", lambda: (False, "a tiny file crashed the runtime (signal 4)"))
    result = tfpwl("doctor")
    assert result.code == 1
    assert "crashed the runtime (signal 4)" in result.out


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.kill(os.getpid(), 4)", "crashed the runtime \\(signal 4\\)"),
        ("raise ImportError('no libc')", "could not be run: ImportError: no libc"),
        ("print(3.0, 1)", "gave 3.0; expected 4.0"),
        ("import time; time.sleep(60)", "has not been run within 2 s"),
    ],
)
def test_probe_says_what_happened_to_the_child(monkeypatch, script, message):
    monkeypatch.setattr(runtime_probe, "_SCRIPT", script)
    worked, detail = runtime_probe.probe_runtime(timeout_s=2)
    assert not worked
    assert re.search(message, detail)


def test_a_machine_without_a_gpu_is_no_error(tfpwl, monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nowhere/none.json")
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere/none.json")
    result = tfpwl("doctor")
    assert result.code == 0
    assert "it finds no GPU with a driver, or does not support an operator" in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("minimum", "version", "good"),
    [("2.1", "2.1.0", True), ("2.1", "2.0.9", False), ("13", "13.9.4", True), ("13", "9.1", False), (None, "0", True)],
)
def test_versions_are_compared_as_numbers(minimum, version, good):
    assert Found(Package("p", minimum, "device", "", ""), version).is_good is good


def test_minimums_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    text = config["options"]["install_requires"] + config["options.extras_require"]["train"]
    required = dict(line.split(">=") for line in text.split() if ">=" in line)
    known = {p.name.lower(): p.minimum for p in PACKAGES if p.need != "option"}
    assert known == {name.lower(): minimum for name, minimum in required.items()}


def test_backend_is_that_of_the_environment_then_of_the_file_then_tensorflow(tmp_path):
    environ = {"KERAS_HOME": str(tmp_path)}
    assert keras_backend(environ)["name"] == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert keras_backend(environ)["name"] == "jax"
    found = keras_backend({**environ, "KERAS_BACKEND": "nothing"})
    assert (found["name"], found["said_by"], found["version"]) == ("nothing", "KERAS_BACKEND", None)


def test_data_sets_in_the_cache_are_found(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").touch()
    found = {name: place for name, place, _ in doctor_checks.find_data_sets({"KERAS_HOME": str(tmp_path)})}
    assert found["mnist"] == str(tmp_path / "datasets" / "mnist.npz")
    assert found["cifar10"] is None
