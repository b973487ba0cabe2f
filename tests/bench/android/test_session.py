from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from adbd.device import Faults, Profile
from tool_output import TIMINGS

from tfpwl.bench.android.adb import Adb
from tfpwl.bench.android.benchmark_model import BenchmarkModel
from tfpwl.bench.android.device import read_facts, read_temperature
from tfpwl.bench.android.session import SessionOptions, measure_phones

QUICK = SessionOptions(repeats=1)
PRINT = f"cat <<'END'\n{TIMINGS}END"


@pytest.fixture
def models(tmp_path):
    found = {name: tmp_path / f"{name}.tflite" for name in ("a", "b", "c")}
    for name, path in found.items():
        path.write_bytes(name.encode() * 100_000)
    return found


@pytest.fixture
def measure(script, models):
    """Measures every connected phone with a shell script as the tool: ``measure("exec sleep 1000")``."""

    def run(body=PRINT, options=QUICK, **more):
        return measure_phones(Adb(**more).select("all"), BenchmarkModel(script(body), models), options)

    return run


@pytest.mark.parametrize("shell_v2", [True, False])
@pytest.mark.parametrize("mounts", [None, False])
def test_facts(connect, shell_v2, mounts):
    device = connect(
        Profile(shell_v2=shell_v2, memory_kb=2_000_000, free_kb=5_000, abis=("x86_64", "x86")), mounts=mounts
    )
    facts = read_facts(Adb().select()[0])
    assert facts.serial == device.serial
    assert (facts.manufacturer, facts.model, facts.soc, facts.api) == ("tfpwl", "Emulated 7", "EMU1", 33)
    assert facts.abis == ("x86_64", "x86")
    assert (facts.memory_bytes, facts.free_bytes) == (2_000_000 << 10, 5_000 << 10)


@pytest.mark.parametrize("shell_v2", [True, False])
def test_every_model_is_measured_in_each_round_in_random_order_and_nothing_stays(connect, measure, models, shell_v2):
    device = connect(Profile(shell_v2=shell_v2))
    orders = []
    for seed in (0, 0, 1):
        (phone,) = measure(options=SessionOptions(repeats=2, seed=seed)).phones
        assert phone.failure is None
        runs = [(run.number, run.subject) for run in phone.runs]
        assert sorted(runs) == [(number, name) for number in (0, 1) for name in models]
        assert [number for number, _ in runs] == [0, 0, 0, 1, 1, 1]
        assert [run.place for run in phone.runs] == list(range(6))
        orders.append(runs)
    assert orders[0] == orders[1] != orders[2]
    assert phone.medians()["a"]["avg_ms"] == 116.066
    assert device.files == []
    device.wait_until_quiet()


def test_with_keep_the_second_call_pushes_nothing(connect, measure):
    device = connect()
    keep = SessionOptions(repeats=1, keep_pushed=True)
    measure(options=keep)
    pushed = device.pushed_bytes
    assert any(name.endswith("models/0.tflite") for name in device.files)
    assert not any("result" in name or name.endswith(".pid") for name in device.files)
    measure(options=keep)
    assert device.pushed_bytes - pushed < 1000


def test_the_result_file_of_another_run_is_not_taken_for_this_ones(connect, measure):
    connect()
    # Only the first run writes one: an average of 2 ms, field 1 of message 2.
    write = "[ -f $0.once ] || printf '\\022\\005\\015\\000\\000\\000\\100' > benchmark_result.pb; touch $0.once"
    (phone,) = measure(f"{write}\n{PRINT}").phones
    assert [run.figures[run.subject]["avg_ms"] for run in phone.runs] == [2.0, 116.066, 116.066]


class TestCoolDown:
    def test_waits_until_the_phone_is_as_cool_as_at_first(self, connect, measure, models):
        # At first; before run 1; before run 2, three looks; before run 3.
        device = connect(Profile(temperatures=(30.0, 30.2, 39.0, 36.0, 31.0, 31.4)))
        (phone,) = measure(options=SessionOptions(repeats=1, cool_down_s=1e9, poll_s=0.0)).phones
        assert [run.celsius for run in phone.runs] == [30.2, 31.0, 31.4]
        assert phone.notes == ()
        assert sum("/sys/class/thermal" in command for command in device.commands) == 6

    def test_goes_on_after_the_longest_wait_and_says_so(self, connect, measure):
        connect(Profile(temperatures=(30.0, 30.0, 39.0)))
        (phone,) = measure(options=SessionOptions(repeats=1, cool_down_s=1e-9, poll_s=0.0)).phones
        assert phone.failure is None
        assert phone.notes == tuple(f"Run {n} began at 39.0 °C, the first one at 30.0 °C." for n in (2, 3))

    def test_zero_waits_for_nothing(self, connect, measure):
        connect(Profile(temperatures=(30.0, 50.0)))
        (phone,) = measure(options=SessionOptions(repeats=1, cool_down_s=0)).phones
        assert [run.celsius for run in phone.runs] == [50.0] * 3
        assert phone.notes == ()

    def test_the_battery_speaks_where_the_zones_are_hidden(self, connect):
        device = connect()
        (device.sandbox.root / "sys/class/thermal/thermal_zone0/type").write_text("charger\n")
        assert read_temperature(Adb().select()[0]) == 28.5

    def test_a_phone_that_tells_nothing(self, connect, measure):
        device = connect()
        (device.sandbox.root / "sys/class/thermal/thermal_zone0/type").write_text("charger\n")
        (device.sandbox.root / "system/dumpsys.battery").write_text("")
        (phone,) = measure().phones
        assert phone.failure is None
        assert [run.celsius for run in phone.runs] == [None] * 3
        assert phone.notes == ("It does not tell its temperature; nothing waited for it to cool down.",)


class TestFaults:
    """Each with the real adb client; besides the broken phone a sound one, which must be measured to the end."""

    def broken(self, connect, measure, profile, body=PRINT, **more):
        """The broken phone and what became of it."""
        sound, device = connect(), connect(profile)
        result = measure(body, **more)
        assert not result.complete
        by_serial = {phone.serial: phone for phone in result.phones}
        assert by_serial[sound.serial].failure is None
        assert len(by_serial[sound.serial].runs) == 3
        assert sound.files == []
        found = by_serial[device.serial]
        json.loads(result.to_json())
        return device, found, found.failure

    def test_unauthorised(self, connect, measure):
        profile = Profile(faults=Faults(authorised=False))
        _, phone, failure = self.broken(connect, measure, profile)
        assert failure.kind == "UnauthorizedError"
        assert "allow USB debugging" in failure.message
        assert phone.facts is None

    def test_wrong_abi(self, connect, script, models):
        profile = Profile(abis=("armeabi-v7a",))
        device = connect(profile)
        binary = script()
        binary.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + (183).to_bytes(2, "little") + bytes(44))
        (phone,) = measure_phones(Adb().select(), BenchmarkModel(binary, models), QUICK).phones
        assert phone.failure.kind == "WrongAbiError"
        assert "is built for arm64-v8a" in phone.failure.message
        assert (device.pushed_bytes, device.files) == (0, [])

    def test_dropped_in_the_middle_of_a_push(self, connect, measure):
        device, phone, failure = self.broken(connect, measure, Profile(faults=Faults(drop_push_after=150_000)))
        assert failure.kind == "DeviceOfflineError"
        assert "was lost while" in failure.message
        assert "may still be on it, the next call removes it" in phone.notes[0]
        # The cable is put back: the next call measures, and leaves nothing.
        device.faults.drop_push_after = None
        Adb().run("disconnect", device.serial)
        Adb().run("connect", device.serial)
        assert measure().complete
        assert device.files == []

    @pytest.mark.parametrize("shell_v2", [True, False])
    def test_offline_in_the_middle_of_a_run(self, connect, measure, shell_v2):
        profile = Profile(shell_v2=shell_v2, faults=Faults(offline_at="echo $$"))
        _, phone, failure = self.broken(connect, measure, profile)
        assert failure.kind == "DeviceOfflineError"
        assert phone.facts.model == "Emulated 7"
        assert phone.runs == ()

    def test_lost_while_a_program_runs_which_the_next_call_ends(self, connect, measure):
        device = connect()
        with ThreadPoolExecutor(1) as pool:
            measuring = pool.submit(measure, "exec sleep 100000")
            device.wait_for_file("/data/local/tmp/tfpwl/run.pid")
            Adb().run("disconnect", device.serial)
            (phone,) = measuring.result().phones
        assert phone.failure.kind == "DeviceOfflineError"
        assert len(phone.notes) == 1
        Adb().run("connect", device.serial)
        assert measure().complete
        device.wait_until_quiet()
        assert device.files == []

    def test_full_storage_while_pushing(self, connect, measure):
        device, _, failure = self.broken(connect, measure, Profile(faults=Faults(free_bytes=150_000)))
        assert failure.kind == "StorageFullError"
        assert "is full while" in failure.message
        assert device.files == []

    def test_full_storage_before_pushing(self, connect, measure):
        device, _, failure = self.broken(connect, measure, Profile(free_kb=1000))
        assert failure.kind == "StorageFullError"
        assert "has 1 MB left" in failure.message
        assert device.pushed_bytes == 0

    @pytest.mark.parametrize("shell_v2", [True, False])
    @pytest.mark.parametrize("mounts", [None, False])
    def test_crash_with_a_tombstone(self, connect, measure, shell_v2, mounts):
        device = connect(Profile(shell_v2=shell_v2), mounts=mounts)
        old = device.sandbox.host_path("/data/tombstones/tombstone_07")
        old.write_text("of another program")
        (phone,) = measure("echo about to crash; exec die_of_a_signal").phones
        assert phone.failure.kind == "DeviceCrashError"
        assert "died of SIGSEGV. Its last words: about to crash" in phone.failure.message
        assert phone.failure.tombstone == "signal 11 (SIGSEGV), fault addr 0x10\n"
        assert device.files == []

    def test_crash_on_a_phone_that_hides_tombstones(self, connect, measure):
        device = connect()
        (device.sandbox.root / "system/crashes").write_text("F DEBUG: backtrace #00 pc 0001\n")
        (phone,) = measure("kill -ABRT $$").phones
        assert "died of SIGABRT" in phone.failure.message
        assert phone.failure.tombstone == "F DEBUG: backtrace #00 pc 0001"

    def test_crash_without_any_trace(self, connect, measure):
        device = connect()
        device.sandbox.host_path("/data/tombstones/tombstone_07").write_text("of another program")
        (phone,) = measure("kill -BUS $$").phones
        assert "died of SIGBUS. The phone shows no tombstone; `adb bugreport` has it." in phone.failure.message
        assert phone.failure.tombstone == ""

    def test_killed_for_memory(self, connect, measure):
        connect()
        (phone,) = measure("kill -KILL $$").phones
        assert phone.failure.kind == "DeviceCrashError"
        assert "died of SIGKILL. Most often the system kills what takes too much memory" in phone.failure.message

    @pytest.mark.parametrize("shell_v2", [True, False])
    @pytest.mark.parametrize("mounts", [None, False])
    def test_a_program_that_hangs_is_killed(self, connect, measure, shell_v2, mounts):
        device = connect(Profile(shell_v2=shell_v2), mounts=mounts)
        # Too short for a program that never ends, however long that is.
        (phone,) = measure("exec sleep 100000", SessionOptions(repeats=1, timeout_s=1)).phones
        assert phone.failure.kind == "DeviceTimeoutError"
        assert "was not done after 1 s and was killed. A higher --timeout" in phone.failure.message
        assert device.files == []
        device.wait_until_quiet()

    def test_a_phone_that_hangs(self, connect, measure):
        device = connect(Profile(faults=Faults(silent_at="getprop")))
        (phone,) = measure(timeout_s=1).phones
        assert phone.failure.kind == "DeviceTimeoutError"
        assert f"{device.serial} gave no answer to `adb shell`" in phone.failure.message

    @pytest.mark.parametrize("shell_v2", [True, False])
    def test_a_program_that_fails(self, connect, measure, shell_v2):
        connect(Profile(shell_v2=shell_v2))
        (phone,) = measure("echo Failed to load model >&2; exit 1").phones
        assert phone.failure.kind == "DeviceError"
        assert "ended with exit code 1. Its last words: Failed to load model" in phone.failure.message

    def test_a_program_that_tells_nothing(self, connect, measure):
        connect()
        (phone,) = measure("true").phones
        assert phone.failure.kind == "DeviceError"
        assert "printed no timings" in phone.failure.message

    def test_what_was_measured_before_a_failure_is_kept(self, connect, measure):
        connect()
        body = f"[ -f $0.twice ] && exit 9; [ -f $0.once ] && touch $0.twice; touch $0.once; {PRINT}"
        (phone,) = measure(body).phones
        assert "ended with exit code 9" in phone.failure.message
        assert len(phone.runs) == 2
