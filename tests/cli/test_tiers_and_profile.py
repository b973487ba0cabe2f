from __future__ import annotations

import json
import shutil

import pytest
from adbd.device import HOST_JAR, Profile, java_for_app_process

from tfpwl.bench.profile import load_profile
from tfpwl.bundle import Bundle, update_manifest
from tfpwl.runtime import Tiers
from tfpwl.runtime.tiers import Requirements, describe_tier, write_tiers


@pytest.fixture
def tiers_file(tiny_bundle, tmp_path):
    """Two tiers of the same bundle; the better one asks for what no machine has."""
    (tmp_path / "bundles").mkdir()
    described = []
    for name, requires in (("low", Requirements()), ("high", Requirements(cores=1024))):
        folder = tmp_path / "bundles" / name
        shutil.copytree(tiny_bundle.root, folder)
        described.append(describe_tier(name, Bundle.open(folder), f"bundles/{name}", requires=requires))
    write_tiers(tmp_path / "tiers.json", Tiers("tiny", tuple(described), ("high", "low"), "low"))
    return tmp_path / "tiers.json"


def test_show_prints_the_best_tier_first(tfpwl, tiers_file):
    result = tfpwl("tiers", "show", tiers_file)
    assert (result.code, result.err) == (0, "")
    assert result.out.index("high") < result.out.index("bundles/low")
    assert "1024 cores" in " ".join(result.out.split())
    assert json.loads(tfpwl("tiers", "show", tiers_file, "--json").out) == json.loads(tiers_file.read_text())


def test_show_refuses_tiers_whose_bundle_is_another_one(tfpwl, tiers_file):
    update_manifest(Bundle.open(tiers_file.parent / "bundles" / "high"), name="another")
    result = tfpwl("tiers", "show", tiers_file)
    assert result.code == 2
    assert "is another bundle than the tier 'high' names" in result.err


def test_select_names_the_tier_for_this_machine_and_why(tfpwl, tiers_file):
    result = tfpwl("tiers", "select", tiers_file.parent)
    assert result.code == 0
    assert result.out.startswith("low: its demands are met; high needs 1024 cores, the device has ")


def test_select_for_another_device(tfpwl, tiers_file, tmp_path):
    phone = {"ram_bytes": 1, "cores": 1024, "abis": ["arm64-v8a"], "free_bytes": 1 << 40, "performance_class": 33}
    (tmp_path / "phone.json").write_text(json.dumps(phone))
    result = json.loads(tfpwl("tiers", "select", tiers_file, "--device", tmp_path / "phone.json", "--json").out)
    assert (result["tier"]["name"], result["is_fallback"], result["device"]["low_ram"]) == ("high", False, False)


def test_select_ends_with_1_where_no_tier_fits(tfpwl, tiers_file, tmp_path):
    full = {"ram_bytes": 1, "cores": 1, "abis": [], "free_bytes": 0}
    (tmp_path / "full.json").write_text(json.dumps(full))
    result = tfpwl("tiers", "select", tiers_file, "--device", tmp_path / "full.json")
    assert result.code == 1
    assert "Error: No tier of 'tiny' fits this device: high needs 1 MiB of free storage" in result.err


def test_bad_input_of_select_ends_with_2(tfpwl, tiers_file, tmp_path):
    (tmp_path / "bad.json").write_text('{"cores": 4}')
    result = tfpwl("tiers", "select", tiers_file, "--device", tmp_path / "bad.json")
    assert (result.code, "ram_bytes: the key is missing" in result.err) == (2, True)
    result = tfpwl("tiers", "select", tmp_path / "nowhere.json")
    assert (result.code, "No such file" in result.err) == (2, True)


def test_profile_measures_the_bundles_of_a_folder_and_keeps_what_is_best(tfpwl, tiers_file, tmp_path):
    result = tfpwl("profile", tiers_file.parent, "--threads", "1", "--repeats", 1, "--seconds", 0,
                   "-o", tmp_path / "out" / "here.json")  # fmt: skip
    assert result.code == 0, result.err
    # low, high and the bundle they were copied from are one and the same.
    assert len(load_profile(tmp_path / "out" / "here.json").measurements) == 1
    assert "fp32: 1 × xnnpack, the fastest: " in result.out
    assert "Note: Medians of 1 processes: for trying out." in result.err


def test_profile_is_named_after_the_machine(tfpwl, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tfpwl("profile", root, "--threads", "1", "--repeats", 1, "--seconds", 0).code == 0
    written = list((tmp_path / "profiles").iterdir())
    assert [path.stem for path in written] == [load_profile(written[0]).device.name]


def test_profile_refuses_two_models_of_one_precision(tfpwl, tiers_file):
    update_manifest(Bundle.open(tiers_file.parent / "bundles" / "high"), name="another")
    result = tfpwl("profile", tiers_file.parent / "bundles")
    assert result.code == 2
    assert "are different bundles of precision fp32; a profile has one model" in result.err


@pytest.mark.parametrize("threads", ["0", "two", "", "1,,2"])
def test_profile_refuses_what_is_no_number_of_threads(tfpwl, root, threads):
    result = tfpwl("profile", root, "--threads", threads)
    assert result.code == 2
    assert "expected numbers of threads such as 1,2,4" in result.err


def test_profile_of_a_folder_without_bundles_is_told(tfpwl, tmp_path):
    result = tfpwl("profile", tmp_path)
    assert result.code == 2
    assert "manifest.json" in result.err


# What the benchmark on a phone writes, of version 1 and shortened; a phone of the tests fills in the threads.
TOLD = {
    "format": "tfpwl-device-bench", "version": 1, "error": None, "engine": {"name": "interpreter", "tflite": "2.16.1"},
    "device": {"cores": 8}, "options": {"delegate": "DELEGATE"},
    "summary": {
        "subjects": {}, "upgrade": {}, "memory": {},
        "steady": {"SSS": {"median_ms": 1.5}, "TTT": {"median_ms": "MILLISECONDS"}},
    },
}  # fmt: skip


def app_process(gpu: str) -> str:
    """A script for app_process: 8 ms with a thread, 4 with two, 3.9 with four; ``gpu`` is what it does for the GPU."""
    told = json.dumps(TOLD).replace('"MILLISECONDS"', "'$ms'").replace("DELEGATE", "'$delegate'")
    return (
        'while [ $# -gt 1 ]; do case "$1" in --out) out=$2;; --bundle) bundle=$2;; --threads) threads=$2;; '
        "--delegate) delegate=$2;; esac; shift; done\n"
        'test -f "$bundle/manifest.json" || exit 2\n'
        "case $threads in 1) ms=8;; 2) ms=4;; *) ms=3.9;; esac\n"
        f"if [ $delegate = gpu ]; then {gpu}; fi\necho '{told}' > \"$out\""
    )


@pytest.fixture
def on_phones(tfpwl, root, tmp_path, monkeypatch):
    """``tfpwl profile --android all`` in an empty folder, quickly."""
    parts = tmp_path / "device"
    (parts / "arm64-v8a").mkdir(parents=True)
    (parts / "tfpwl-bench.jar").write_bytes(b"jar")
    for library in ("libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so"):
        (parts / "arm64-v8a" / library).write_bytes(b"library")
    monkeypatch.chdir(tmp_path)
    return lambda *more: tfpwl("profile", "--android", "all", root, "--repeats", 1, "--seconds", 0, "--cool-down", 0,
                               "--parts", parts, *more)  # fmt: skip


def test_a_phone_is_profiled_on_its_cpu_and_its_gpu(connect, on_phones, tmp_path):
    device = connect(Profile(app_process=app_process("ms=1.25")))
    result = on_phones()
    assert result.code == 0, result.err
    found = load_profile(tmp_path / "profiles" / "tfpwl-emulated-7.json")
    times = {(one.threads, one.delegate): one.median_ms for one in found.measurements}
    assert times == {(1, "xnnpack"): 8, (2, "xnnpack"): 4, (4, "xnnpack"): 3.9, (1, "gpu"): 1.25}
    assert (found.best().threads, found.best().delegate) == (1, "gpu")
    assert (found.device.system, found.device.cores) == ("Android API 33, arm64-v8a", 8)
    assert device.files == []


def test_a_gpu_that_fails_is_left_out_and_the_profile_says_so(connect, on_phones, tmp_path):
    connect(Profile(app_process=app_process("echo no GPU here; exit 1")))
    result = on_phones()
    assert result.code == 0, result.err
    found = load_profile(tmp_path / "profiles" / "tfpwl-emulated-7.json")
    # Two threads: within 5 % of four.
    assert (found.best().threads, found.best().delegate) == (2, "xnnpack")
    assert any("A delegate was left out: " in note and "no GPU here" in note for note in found.notes)


def test_a_phone_that_fails_does_not_keep_the_others_from_their_profiles(connect, on_phones, tmp_path):
    connect(Profile(app_process=app_process("ms=5")))
    broken = connect(Profile(abis=("riscv64",), app_process=app_process("ms=5")))
    result = on_phones()
    assert result.code == 1
    assert f"Error: {broken.serial}: " in result.err
    assert "riscv64" in result.err
    assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["tfpwl-emulated-7.json"]


def test_one_file_for_two_phones_is_refused(connect, on_phones, tmp_path):
    for _ in range(2):
        connect(Profile(app_process=app_process("ms=5")))
    result = on_phones("-o", tmp_path / "one.json")
    assert result.code == 2
    assert "--output names one file, and 2 phones are to be measured" in result.err
    assert on_phones().code == 0
    names = sorted(path.name for path in (tmp_path / "profiles").iterdir())
    assert names == ["tfpwl-emulated-7-2.json", "tfpwl-emulated-7.json"]


def test_the_benchmark_itself_is_profiled_in_its_jvm_form(connect, tfpwl, root, tmp_path):
    """Real adb, a real bundle, the real program: only app_process is Java's launcher."""
    java = java_for_app_process()
    if not java:
        pytest.skip(f"there is no Java or no {HOST_JAR.name}: run `make android`")
    connect(Profile(app_process=java))
    result = tfpwl("profile", "--android", "--threads", "1,2", "--repeats", 1, "--seconds", 0, "--cool-down", 0,
                   "-o", tmp_path / "p.json", root)  # fmt: skip
    assert result.code == 0, result.err
    found = load_profile(tmp_path / "p.json")
    assert {one.threads for one in found.measurements if one.delegate == "xnnpack"} == {1, 2}
