from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys

import pytest
from adbd.device import HOST_JAR, Faults, Profile, java_for_app_process

QUICK = ("--repeats", 1, "--cool-down", 0)
TIMES = "Inference timings in us: Init: 530, First inference: 9000, Warmup (avg): 8000, Inference (avg): 7000"
# What the benchmark on the phone writes, of version 1 and shortened: what was measured is in its summary.
TOLD = {
    "format": "tfpwl-device-bench", "version": 1, "error": None, "engine": {"name": "interpreter", "tflite": "2.16.1"},
    "summary": {
        "subjects": {"bundle": {"create_ms": 8.0, "first_ms": 2.0, "total_ms": 10.0},
                     "teacher": {"create_ms": 40.0, "total_ms": 49.0, "p99_ms": 9.0, "chain_ratio": 1.013}},
        "steady": {mix: {"median_ms": ms, "p90_ms": 9.0, "p99_ms": 9.1} for mix, ms in (("SSS", 1.7), ("TTT", 7.7))},
        "upgrade": {"upgrade_ms": 61.0, "worst_ms": 3.3, "worst_ratio": 1.3, "lost": 0, "wrong": 0},
        "memory": {"peak_rss_bytes": 50_000_000, "student_pss_bytes": None, "complete_pss_bytes": 40_000_000},
    },
}  # fmt: skip


def app_process(told):
    """A script for app_process that checks what it needs and writes ``told`` to where --out says."""
    return (
        'test -f "$CLASSPATH" && echo "arguments: $*"\n'
        'while [ $# -gt 1 ]; do case "$1" in --out) out=$2;; --bundle) bundle=$2;; esac; shift; done\n'
        'test -f "$bundle/manifest.json" || exit 2\n'
        f"cat > \"$out\" <<'END'\n{json.dumps(told)}\nEND\necho TFPWL-BENCH EXIT 0"
    )


@pytest.fixture
def parts(tmp_path):
    """The folder that `make android` fills, for phones with 64-bit ARM processors."""
    folder = tmp_path / "device"
    (folder / "arm64-v8a").mkdir(parents=True)
    (folder / "tfpwl-bench.jar").write_bytes(b"jar")
    (folder / "arm64-v8a/libtensorflowlite_jni.so").write_bytes(b"library")
    return folder


@pytest.fixture
def tool(tmp_path):
    """A benchmark_model for phones with a shell: prints times of 7 ms."""
    path = tmp_path / "benchmark_model"
    path.write_text(f"#!/bin/sh\necho '{TIMES}'\n")
    return path


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"a model")
    return path


def test_help_has_examples(tfpwl):
    result = tfpwl("bench", "--android", "--help")
    assert result.code == 0
    assert "tfpwl bench --android all" in result.out
    assert "--benchmark-model" in result.out
    assert "--rounds" not in result.out
    assert "tfpwl bench --android" in tfpwl("bench", "--help").out


def test_a_bundle_on_two_phones(tfpwl, connect, root, parts, tmp_path):
    devices = [connect(Profile(app_process=app_process(TOLD), shell_v2=v2)) for v2 in (True, False)]
    out = tmp_path / "out"
    result = tfpwl(
        "bench", "--android", "all", root, "--parts", parts, "--repeats", 2, "--cool-down", 0, "--seed", 7, "--threads",
        2, "--cpu-mask", "0x1", "-o", out,
    )  # fmt: skip
    assert (result.code, result.err.count("pushing files")) == (0, 2)
    told = json.loads((out / "result.json").read_text())
    assert (told["format"], told["version"], told["program"]) == ("tfpwl-android-bench", 1, "bundle")
    assert told["options"]["cpu_mask"] == "1"
    assert {phone["serial"] for phone in told["phones"]} == {device.serial for device in devices}
    for phone in told["phones"]:
        assert [run["told"] for run in phone["runs"]] == [TOLD, TOLD]
        assert phone["facts"]["abis"] == ["arm64-v8a", "armeabi-v7a"]
    for device in devices:
        (first, second) = [command for command in device.commands if "app_process" in command]
        assert "taskset 1 app_process" in first
        assert "--threads 2" in first
        assert ("--seed 7" in first, "--seed 8" in second) == (True, True)
        assert device.files == []
    lines = list(csv.DictReader(io.StringIO((out / "result.csv").read_text())))
    wanted = {"subject": "mix TTT", "metric": "median_ms", "value": "7.7", "model": "Emulated 7"}
    assert len([line for line in lines if wanted.items() <= line.items()]) == 4
    assert "| mix TTT |" in (out / "result.md").read_text()
    assert "answers, everything loaded, ms; medians of 2" in result.out
    assert "1.01" in result.out  # chain / teacher


def test_an_error_of_the_benchmark_on_the_phone_is_told(tfpwl, connect, root, parts):
    told = {"format": "tfpwl-device-bench", "version": 1, "error": {"code": "integrity", "message": "g0 is cut"}}
    connect(Profile(app_process=app_process(told)))
    result = tfpwl("bench", "--android", root, "--parts", parts, *QUICK)
    assert result.code == 1
    assert "The benchmark on the phone failed: integrity: g0 is cut" in result.err


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"summary": NaN}', '{"format": "tfpwl-device-bench", "version": 2, "summary": {}}']
)
def test_another_json_than_expected(tfpwl, connect, root, parts, text):
    connect(Profile(app_process=app_process(TOLD).replace(json.dumps(TOLD), text)))
    result = tfpwl("bench", "--android", root, "--parts", parts, *QUICK)
    assert result.code == 1
    assert "wrote no tfpwl-device-bench of version 1" in result.err


def test_no_library_for_the_phones_processor(tfpwl, connect, root, parts):
    device = connect(Profile(abis=("riscv64",), app_process=app_process(TOLD)))
    result = tfpwl("bench", "--android", device.serial, root, "--parts", parts, *QUICK)
    assert result.code == 1
    assert "runs riscv64, and" in result.err
    assert "has libtensorflowlite_jni.so for arm64-v8a only" in result.err


def test_the_library_for_the_gpu_is_pushed_where_it_is_asked_for(tfpwl, connect, root, parts):
    device = connect(Profile(app_process=app_process(TOLD)))
    call = ("bench", "--android", root, "--parts", parts, *QUICK, "--keep", "--delegate", "gpu")
    assert "has libtensorflowlite_gpu_jni.so for nothing only" in tfpwl(*call).err
    (parts / "arm64-v8a/libtensorflowlite_gpu_jni.so").write_bytes(b"gpu library")
    assert tfpwl(*call).code == 0
    assert "tfpwl/libtensorflowlite_gpu_jni.so" in device.files
    assert any("--delegate gpu" in command for command in device.commands)


def test_files_and_a_bundle_under_benchmark_model(tfpwl, connect, root, tool, model):
    connect()
    out = model.parent / "out"
    result = tfpwl("bench", "--android", "--benchmark-model", tool, model, root, *QUICK, "-o", out)
    assert result.code == 0
    runs = json.loads((out / "result.json").read_text())["phones"][0]["runs"]
    names = {run["subject"] for run in runs}
    assert len(names) == 11
    assert names >= {"m.tflite", "g0.student.tflite", "b1.decoder.tflite"}
    assert {run["figures"][run["subject"]]["avg_ms"] for run in runs} == {7.0}


def test_files_of_the_same_name_are_told_apart_by_their_folders(tfpwl, connect, tool, model):
    connect()
    (model.parent / "other").mkdir()
    other = model.parent / "other" / model.name
    other.write_bytes(b"another model")
    out = model.parent / "out"
    assert tfpwl("bench", "--android", "--benchmark-model", tool, model, other, *QUICK, "-o", out).code == 0
    runs = json.loads((out / "result.json").read_text())["phones"][0]["runs"]
    assert {run["subject"] for run in runs} == {str(model), str(other)}


def test_a_failed_phone_makes_1_and_the_others_are_measured(tfpwl, connect, tool, model, tmp_path):
    sound, locked = connect(), connect(Profile(faults=Faults(authorised=False)))
    out = tmp_path / "out"
    result = tfpwl("bench", "--android", "all", "--benchmark-model", tool, model, *QUICK, "-o", out)
    assert result.code == 1
    assert f"Error: {locked.serial}: {locked.serial} does not trust this computer" in result.err
    assert f"{sound.serial}: tfpwl Emulated 7, EMU1, arm64-v8a, API 33, 5.9 GB\n" in result.out
    assert f"{sound.serial}: benchmark_model, ms; medians of 1" in result.out
    failures = {p["serial"]: p["failure"] for p in json.loads((out / "result.json").read_text())["phones"]}
    assert failures[sound.serial] is None
    assert failures[locked.serial]["kind"] == "UnauthorizedError"


def test_a_tombstone_is_kept(tfpwl, connect, tool, model, tmp_path):
    tool.write_text("#!/bin/sh\nexec die_of_a_signal\n")
    device = connect()
    result = tfpwl("bench", "--android", "--benchmark-model", tool, model, *QUICK, "-o", tmp_path / "out")
    assert result.code == 1
    path = tmp_path / "out" / f"{device.serial.replace(':', '_')}.tombstone.txt"
    assert path.read_text().startswith("signal 11 (SIGSEGV)")
    assert f"The tombstone is in {path}." in result.err
    assert "-o FOLDER keeps it" in tfpwl("bench", "--android", "--benchmark-model", tool, model, *QUICK).err


class TestInterrupted:
    @pytest.fixture
    def interrupt(self, tool, model):
        """Starts a call, sends SIGINT as soon as it says a word, and returns what it said after that."""

        def run(word):
            command = [sys.executable, "-m", "tfpwl", "bench", "--android", "--benchmark-model", str(tool), str(model)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                try:
                    next(line for line in process.stderr if word in line)
                    process.send_signal(signal.SIGINT)
                    said = process.communicate(timeout=300)[1]  # it takes a second, or for ever
                finally:
                    process.kill()
            assert process.returncode == 130
            return said

        return run

    def test_while_a_program_runs(self, connect, tool, interrupt):
        tool.write_text("#!/bin/sh\nexec sleep 100000\n")
        device = connect()
        assert "Interrupted" in interrupt("1 of 5")
        device.wait_until_quiet()
        assert device.files == []

    def test_while_a_phone_cools_down(self, connect, interrupt):
        device = connect(Profile(temperatures=(30.0, 50.0)))
        assert "Interrupted" in interrupt("cooling down")
        assert device.files == []


class TestWrongUse:
    @pytest.fixture
    def words(self, connect, root, tool, model):
        """What stands for words in capitals, a phone being connected."""
        connect()
        return {"BUNDLE": root, "TOOL": tool, "MODEL": model}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--android", "pixel", "MODEL", "--benchmark-model", "TOOL"], "No phone 'pixel' is connected. Connected:"),
            (["--android", "--benchmark-model", "TOOL"], "No FILE was given for --benchmark-model."),
            (["--android", "--benchmark-model", "no", "MODEL"], "There is no file no; expected TFLite's"),
            (["--android", "--benchmark-model", "TOOL", "no"], "There is no file no; expected a .tflite file or"),
            (["--android", "BUNDLE", "BUNDLE"], "2 bundles were given; expected one"),
            (["--android"], "0 bundles were given; expected one"),
            (["--android", "--cpu-mask", "4-7", "BUNDLE"], "--cpu-mask '4-7' is no hexadecimal number such as f0."),
            (["--android", "BUNDLE", "--rivals"], "There are no models in one piece in"),
            (["--android", "BUNDLE", "--parts", "nowhere"], "There is no nowhere/tfpwl-bench.jar. `make android`"),
            (["--android", "BUNDLE", "--rounds", "3"], "No such option '--rounds'"),
        ],
    )  # fmt: skip
    def test_exits_2(self, tfpwl, words, arguments, message):
        result = tfpwl("bench", *(words.get(word, word) for word in arguments), *QUICK)
        assert result.code == 2
        assert message in " ".join(result.err.split())

    def test_no_phone_exits_2(self, tfpwl, adb_port, tool, model, monkeypatch):
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_port)
        result = tfpwl("bench", "--android", "--benchmark-model", tool, model)
        assert result.code == 2
        assert "No phone is connected. Switch on USB debugging" in result.err

    def test_a_broken_bundle_exits_2_before_a_phone_is_asked(self, tfpwl, root, parts):
        (root / "g0.student.tflite").write_bytes(b"cut")
        result = tfpwl("bench", "--android", root, "--parts", parts)
        assert result.code == 2
        assert "g0.student.tflite" in result.err


@pytest.mark.parametrize("mounts", [None, False])
def test_the_benchmark_itself_in_its_jvm_form(tfpwl, connect, root, tiny_whole, mounts):
    """Real adb, a real bundle, the real program: only app_process is Java's launcher."""
    java = java_for_app_process()
    if not java:
        pytest.skip(f"there is no Java or no {HOST_JAR.name}: run `make android`")
    (root.parent / "rivals").mkdir()
    for side, content in tiny_whole.items():
        (root.parent / "rivals" / f"{side}.fp32.tflite").write_bytes(content)
    device = connect(Profile(app_process=java, shell_v2=mounts is None), mounts=mounts)
    out = root.parent / "out"
    result = tfpwl("bench", "--android", root, "--rivals", "--repeats", 2, "--seconds", 0, "--cool-down", 0, "-o", out)
    assert result.code == 0, result.err
    (phone,) = json.loads((out / "result.json").read_text())["phones"]
    assert len(phone["runs"]) == 2
    for run in phone["runs"]:
        told = run["told"]
        assert told["bundle"]["name"] == "tiny"
        assert told["bundle"]["mixes"] == ["SSS", "TSS", "TTS", "TTT"]
        assert {start["subject"] for start in told["starts"]} == {"bundle", "teacher", "student"}
        assert (told["summary"]["upgrade"]["lost"], told["summary"]["upgrade"]["wrong"]) == (0, 0)
        figures = run["figures"]
        assert set(figures) >= {"bundle", "teacher", "student", "mix SSS", "mix TTT", "upgrade", "memory"}
        assert all(value > 0 for value in figures["bundle"].values())
    seeds = [run["told"]["options"]["seed"] for run in phone["runs"]]
    assert seeds == [0, 1]
    assert device.files == []
    assert "mix TTT" in result.out
