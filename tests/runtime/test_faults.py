"""Faults on the way up: the last good mix goes on answering, a typed error names file and reason, a retry works."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tfpwl.bundle import Bundle, update_manifest, write_bundle
from tfpwl.errors import (
    BundleError,
    ClosedError,
    ContractError,
    EngineError,
    IntegrityError,
    ManifestError,
    OutOfMemoryError,
    RuntimeTooOldError,
)
from tfpwl.runtime import ErrorCode, ProgressiveModel, State
from tfpwl.runtime.footprint import loaded_bytes

X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
WAIT_S = 60


@pytest.fixture
def model(tiny_bundle, engine):
    with ProgressiveModel.open(tiny_bundle, engine=engine) as opened:
        yield opened


def expect_failure(model, kind, code, *words):
    """The upgrade fails at group 1, the model answers on, and says the same everywhere."""
    changes = []
    model.on_change(changes.append)
    with pytest.raises(kind) as caught:
        model.upgrade(background=False)
    for word in words:
        assert word in str(caught.value)
    assert (model.mix, model.state, model.last_error) == ("TSS", State.FAILED, caught.value)
    assert (changes[-1].state, changes[-1].code) == (State.FAILED, code)
    assert model.wait(0)
    assert model.predict(X).shape == (1, 4)


def expect_success(model):
    model.upgrade(background=False)
    assert (model.mix, model.state, model.last_error) == ("TTT", State.COMPLETE, None)


def test_swapped_files_are_refused(model, tiny_bundle):
    one, other = (tiny_bundle.root / f"g{i}.teacher.tflite" for i in (1, 2))
    kept = one.read_bytes(), other.read_bytes()
    one.write_bytes(kept[1])
    other.write_bytes(kept[0])
    expect_failure(model, IntegrityError, ErrorCode.INTEGRITY, "g1.teacher.tflite", "the manifest expects")
    one.write_bytes(kept[0])
    other.write_bytes(kept[1])
    expect_success(model)


def test_a_disk_that_fails_in_the_middle_of_a_file_is_an_integrity_error(model, monkeypatch):
    real = builtins.open

    class Failing:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def read(self, size):
            self.file.read(size // 2)
            raise OSError(5, "Input/output error")

    loads = []

    def open_failing(file, *args, **kwargs):
        opened = real(file, *args, **kwargs)
        if isinstance(file, int) and "g1.teacher" in os.readlink(f"/proc/self/fd/{file}"):
            loads.append(file)
            return Failing(opened)
        return opened

    monkeypatch.setattr(builtins, "open", open_failing)
    expect_failure(model, IntegrityError, ErrorCode.INTEGRITY, "g1.teacher.tflite", "Input/output error")
    assert len(loads) == 1
    monkeypatch.undo()
    expect_success(model)


def test_a_group_of_another_shape_with_the_right_sum_is_refused(tiny_bundle, tiny_files, engine, smuggle):
    bundle = smuggle(tiny_bundle, 1, "teacher", tiny_files["g1.student"])
    with ProgressiveModel.open(bundle, engine=engine) as model:
        words = "g1.teacher.tflite", "its input is float32 [1, 6, 6, 3]", "teacher side of boundary 0"
        expect_failure(model, ContractError, ErrorCode.CONTRACT, *words)
        assert engine.open_groups == 4


def test_a_bundle_replaced_while_it_is_open_ends_the_upgrade(model, tiny_bundle, tiny_files, tiny_fields):
    """Another bundle of the same name takes its place: its files must not be mixed with the open one's."""
    model.upgrade(until="TSS", background=False)
    before = model.predict(X)
    turned = {"student": "teacher", "teacher": "student", "encoder": "decoder", "decoder": "encoder"}
    other = {f"{stem.split('.')[0]}.{turned[stem.split('.')[1]]}": data for stem, data in tiny_files.items()}
    write_bundle(tiny_bundle.root, files=other, **tiny_fields)
    expect_failure(model, IntegrityError, ErrorCode.INTEGRITY, "g1.teacher.tflite")
    np.testing.assert_array_equal(model.predict(X), before)
    with ProgressiveModel.open(tiny_bundle.root) as again:
        again.upgrade(background=False)
        assert again.mix == "TTT"
    write_bundle(tiny_bundle.root, files=tiny_files, **tiny_fields)
    expect_success(model)


def test_a_file_changed_after_its_sum_was_checked_is_not_what_is_loaded(tiny_bundle, engine, monkeypatch):
    """The bytes that were checked are the bytes that the engine gets."""
    real = Bundle.read

    def read_then_spoil(self, entry):
        data = real(self, entry)
        (self.root / entry.file).write_bytes(b"\0" * entry.bytes)
        return data

    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        model.upgrade(background=False)
        expected = model.predict(X)
    monkeypatch.setattr(Bundle, "read", read_then_spoil)
    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        model.upgrade(background=False)
        np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory as Linux does")
@pytest.mark.parametrize("name", ["litert", "interpreter"])
def test_an_allocation_that_fails_leaves_the_student(tiny_bundle, name):
    """Reading a file is the largest allocation that Python makes; the process has no room for it."""
    script = f"""
import resource, sys
import numpy as np
from tfpwl.bundle import Bundle
from tfpwl.errors import OutOfMemoryError
from tfpwl.runtime import ErrorCode, ProgressiveModel
model = ProgressiveModel.open({str(tiny_bundle.root)!r}, engine={name!r})
x = np.zeros((1, 6, 6, 1), np.float32)
before = model.predict(x)
model.upgrade(until="TSS", background=False)
model.downgrade()
real = Bundle.read
def read(self, entry):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    soft = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 20), soft[1]))
    try:
        return bytes(64 << 20) and real(self, entry)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, soft)
Bundle.read = read
try:
    model.upgrade(background=False)
except OutOfMemoryError as exc:
    assert "g0.teacher.tflite: not enough memory" in str(exc), exc
    assert ErrorCode.of(exc) is ErrorCode.OUT_OF_MEMORY
else:
    sys.exit("no error")
assert (model.predict(x) == before).all()
Bundle.read = real
model.upgrade(background=False)
assert model.mix == "TTT"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_in_the_foreground_comes_to_rest_and_can_be_tried_again(model, engine):
    states = []
    model.on_change(lambda change: states.append(change.state))
    engine.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        model.upgrade(background=False)
    assert (model.mix, model.state, model.last_error) == ("SSS", State.READY, None)
    assert states == [State.UPGRADING, State.READY]
    assert model.wait(0)
    engine.failure = None
    expect_success(model)


def test_an_upgrade_works_after_the_main_thread_ended(tiny_bundle):
    """A server in a thread of its own outlives the main thread; only the end of the process ends an upgrade."""
    script = f"""
import threading, time
from tfpwl.runtime import ProgressiveModel
def serve():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    model = ProgressiveModel.open({str(tiny_bundle.root)!r})
    model.upgrade()
    assert model.wait(60)
    print(model.mix, model.state.value)
    model.downgrade()
    print(model.mix, model.state.value)
threading.Thread(target=serve).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stdout.split("\n")[:2] == ["TTT complete", "SSS ready"], done.stderr


def test_an_upgrade_that_the_end_of_the_process_ends_comes_to_rest(tiny_bundle):
    script = f"""
import threading, time
from tfpwl.runtime import ProgressiveModel
model = ProgressiveModel.open({str(tiny_bundle.root)!r})
def watch():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    model.upgrade()
    assert model.wait(60)
    print(model.mix, model.state.value, flush=True)
threading.Thread(target=watch, daemon=True).start()
# Keeps the process alive as one of the model's own threads would: not for the model's sake.
from tfpwl.runtime.background import Worker
Worker(lambda: time.sleep(3), "like-an-upgrade", is_low=False).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stdout == "SSS ready\n", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have priorities of their own on Linux")
@pytest.mark.parametrize(("priority", "threads", "lower"), [("low", 1, True), ("normal", 1, False), ("low", 2, False)])
def test_an_upgrade_in_the_background_has_the_priority_asked_for(tiny_bundle, engine, priority, threads, lower):
    """With two threads per group the engine's own threads, which answer later, would be born with the low one."""
    seen = []
    load = engine.load

    def noted(model, *, threads, sha256):
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return load(model, threads=threads, sha256=sha256)

    engine.load = noted
    with ProgressiveModel.open(tiny_bundle, engine=engine, threads=threads) as model:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        seen.clear()
        model.upgrade(priority=priority)
        assert model.wait(WAIT_S)
        assert {nice > own for nice in seen} == {lower}
        model.downgrade()
        assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_an_unknown_priority_is_refused(model):
    with pytest.raises(ValueError, match="'high' is not a valid Priority"):
        model.upgrade(priority="high")


def taken(bundle, *mixes):
    """Bytes that the files of all ``mixes`` take together."""
    entries = {entry.file: entry for mix in mixes for entry in bundle.chain(mix)}
    return sum(loaded_bytes(bundle.read(entry)) for entry in entries.values())


@pytest.mark.parametrize("background", [True, False])
def test_a_budget_stops_at_the_last_mix_whose_swap_fits(tiny_bundle, engine, background):
    # A swap needs both mixes' files at once; one byte less than the second swap needs.
    budget = taken(tiny_bundle, "TSS", "TTS") - 1
    states = []
    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        model.on_change(lambda change: states.append((change.mix, change.state)))
        model.upgrade(background=background, budget_bytes=budget)
        assert model.wait(WAIT_S)
        assert (model.mix, model.state, model.last_error) == ("TSS", State.READY, None)
        assert model.resident_bytes <= budget
        assert states[-1] == ("TSS", State.READY)
        # Without one it goes all the way.
        expect_success(model)


def test_a_budget_of_the_model_holds_for_each_upgrade(tiny_bundle, engine):
    budget = taken(tiny_bundle, "SSS", "TSS")
    with ProgressiveModel.open(tiny_bundle, engine=engine, budget_bytes=budget) as model:
        model.upgrade(background=False)
        assert (model.mix, model.state) == ("TSS", State.READY)
        model.upgrade(background=False)
        assert model.mix == "TSS"
        model.upgrade(background=False, budget_bytes=taken(tiny_bundle, "TSS", "TTS", "TTT"))
        assert model.mix == "TTT"


def test_a_budget_takes_the_most_accurate_mix_within_it(tiny_bundle, engine):
    path = tiny_bundle.manifest.walk((0, 1, 2), accuracy={"SSS": 0.8, "TSS": 0.85, "TTS": 0.7, "TTT": 0.84})
    bundle = update_manifest(tiny_bundle, path=path)
    enough = taken(bundle, "SSS", "TSS", "TTS", "TTT")
    with ProgressiveModel.open(bundle, engine=engine) as model:
        # All could be reached; TSS answers best.
        model.upgrade(background=False, budget_bytes=enough)
        assert (model.mix, model.state) == ("TSS", State.READY)
        # Without a budget nothing is said about memory, and the teacher was asked for.
        model.upgrade(background=False)
        assert model.mix == "TTT"


def test_a_budget_too_small_for_the_student_is_refused(tiny_bundle, engine):
    with pytest.raises(OutOfMemoryError, match=r"student does not fit budget_bytes=1000: g0.student.tflite would need"):
        ProgressiveModel.open(tiny_bundle, engine=engine, budget_bytes=1000)
    assert engine.open_groups == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IntegrityError(""), "integrity"),
        (ContractError(""), "contract"),
        (ManifestError(""), "bundle"),
        (RuntimeTooOldError(""), "bundle"),
        (BundleError(""), "bundle"),
        (OutOfMemoryError(""), "out_of_memory"),
        (ClosedError(""), "closed"),
        (EngineError(""), "engine"),
    ],
)
def test_every_error_has_a_code_that_other_platforms_share(error, code):
    assert ErrorCode.of(error) is ErrorCode(code)


def test_close_during_answers_of_many_threads_ends_each_with_an_answer_or_closed(tiny_bundle, engine):
    for _ in range(5):
        model = ProgressiveModel.open(tiny_bundle, engine=engine)
        expected, wrong, closed = model.predict(X), [], []

        def ask(model=model, expected=expected, wrong=wrong, closed=closed):
            try:
                while True:
                    if not np.array_equal(model.predict(X), expected):
                        wrong.append(1)
            except ClosedError:
                closed.append(1)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        model.close()
        for thread in threads:
            thread.join(WAIT_S)
        assert (wrong, len(closed), engine.open_groups) == ([], 4, 0)
