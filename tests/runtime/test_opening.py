"""Answers while the first files load: ``ProgressiveModel.open(wait=False)``."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from tfpwl.bundle import Bundle
from tfpwl.errors import ClosedError, EngineError, IntegrityError, TfpwlError
from tfpwl.runtime import ErrorCode, ProgressiveModel, State

X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)


def largest(bundle):
    return max(bundle.chain("SSS"), key=lambda entry: entry.bytes)


@pytest.fixture
def expected(tiny_bundle):
    with ProgressiveModel.open(tiny_bundle) as model:
        return model.predict(X)


class Noting:
    """Notes which groups ran by themselves; refuses to load two files at once."""

    def __init__(self, engine):
        self.engine, self.name, self.tflite_level = engine, engine.name, engine.tflite_level
        self.ran, self.alone = [], threading.Lock()

    def load(self, model, *, threads, sha256):
        assert self.alone.acquire(blocking=False), "two files are packed at once"
        try:
            return Noted(self.engine.load(model, threads=threads, sha256=sha256), lambda: self.ran.append(sha256))
        finally:
            self.alone.release()

    def connect(self, groups):
        return self.engine.connect([group.group for group in groups])


class Noted:
    def __init__(self, group, note):
        self.group, self.note = group, note
        self.input, self.output, self.close = group.input, group.output, group.close

    def __call__(self, x):
        self.note()
        return self.group(x)

    @property
    def resident_bytes(self):
        return self.group.resident_bytes


def answer_or_error(model):
    with suppress(TfpwlError):
        return model.predict(X)


def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_the_first_groups_run_while_the_largest_one_loads(tiny_bundle, engine, expected, monkeypatch):
    chain, held = tiny_bundle.chain("SSS"), largest(tiny_bundle)
    before = [entry.sha256 for entry in chain[: chain.index(held)]]
    assert before, "the first file is the largest one: this test shows nothing"
    reading, go_on, real = threading.Event(), threading.Event(), Bundle.read

    def read(bundle, entry):
        if entry == held:
            reading.set()
            assert go_on.wait(60)
        return real(bundle, entry)

    monkeypatch.setattr(Bundle, "read", read)
    noting = Noting(engine)
    with ProgressiveModel.open(tiny_bundle, engine=noting, wait=False) as model:
        assert reading.wait(60)
        asking, answers = in_thread(lambda: model.predict(X))
        while noting.ran != before and asking.is_alive():
            asking.join(0.01)
        assert (noting.ran, answers) == (before, [])
        go_on.set()
        asking.join(60)
        np.testing.assert_array_equal(answers[0], expected)
        assert model.wait(60)
        noting.ran.clear()
        np.testing.assert_array_equal(model.predict(X), expected)
        assert noting.ran == []  # connected now, no longer one by one


def test_threads_that_ask_at_once_find_every_file_loaded_once(tiny_bundle, engine, expected):
    with ProgressiveModel.open(tiny_bundle, engine=engine, wait=False) as model:
        asking = [in_thread(lambda: model.predict(X)) for _ in range(8)]
        for thread, answers in asking:
            thread.join(60)
            np.testing.assert_array_equal(answers[0], expected)
        assert model.wait(60)
        assert (engine.loads, engine.open_groups) == (3, 3)


def test_an_upgrade_asked_for_at_once_waits_for_the_student(tiny_bundle, engine):
    with ProgressiveModel.open(tiny_bundle, engine=engine, wait=False) as model:
        model.upgrade()
        assert model.wait(60)
        assert (model.mix, model.state, engine.open_groups) == ("TTT", State.COMPLETE, 3)


def test_a_broken_file_is_told_by_whoever_needs_it(tiny_bundle, engine):
    entry = largest(tiny_bundle)
    path = tiny_bundle.root / entry.file
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(IntegrityError, match=entry.file):
        ProgressiveModel.open(tiny_bundle, engine=engine)
    assert engine.open_groups == 0
    model = ProgressiveModel.open(tiny_bundle, engine=engine, wait=False)
    changes = []
    model.on_change(changes.append)
    asked = (lambda: model.predict(X), model.wait, model.upgrade, model.downgrade, lambda: model.resident_bytes)
    for ask in asked * 2:
        with pytest.raises(IntegrityError, match=f"{entry.file}.*the manifest expects"):
            ask()
    assert (model.state, model.mix, engine.open_groups) == (State.FAILED, "SSS", 0)
    assert isinstance(model.last_error, IntegrityError)
    depths = []
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            model.predict(X)
        depths.append(len(caught.traceback))
    assert depths[0] == depths[1]  # an app that goes on asking does not gather frames
    # The failure may have come before the callback was there.
    assert [change.code for change in changes] in ([], [ErrorCode.INTEGRITY])
    model.close()
    with pytest.raises(ClosedError):
        model.predict(X)


def test_a_callback_may_close_the_model_that_could_not_be_opened(tiny_bundle, engine):
    with engine.held():
        model = ProgressiveModel.open(tiny_bundle, engine=engine, wait=False)
        engine.failure = EngineError("no")
        model.on_change(lambda change: model.close())
    closed = [in_thread(lambda: answer_or_error(model))[0] for _ in range(2)]
    for thread in closed:
        thread.join(60)
        assert not thread.is_alive()
    deadline = time.monotonic() + 60
    while model.state is not State.CLOSED and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (model.state, engine.open_groups) == (State.CLOSED, 0)


def test_close_waits_for_the_file_under_way_and_leaves_nothing(tiny_bundle, engine):
    with engine.held():
        model = ProgressiveModel.open(tiny_bundle, engine=engine, wait=False)
        assert engine.waiting.wait(60)
        asking, _ = in_thread(lambda: answer_or_error(model))
        closing, _ = in_thread(model.close)
        closing.join(0.1)
        assert closing.is_alive()
    closing.join(60)
    asking.join(60)
    assert not closing.is_alive()
    assert not asking.is_alive()
    assert (model.state, engine.open_groups) == (State.CLOSED, 0)


def test_wait_gives_up_when_its_time_is_over(tiny_bundle, engine):
    with engine.held():
        model = ProgressiveModel.open(tiny_bundle, engine=engine, wait=False)
        assert not model.wait(0.05)
    assert model.wait(60)
    model.close()


@pytest.mark.parametrize("wait", [True, False])
def test_without_a_thread_to_spare_who_asks_loads(tiny_bundle, engine, expected, monkeypatch, wait):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with ProgressiveModel.open(tiny_bundle, engine=engine, wait=wait) as model:
        np.testing.assert_array_equal(model.predict(X), expected)
        assert model.wait(60)
        assert engine.loads == 3


def test_a_load_that_is_interrupted_ends_the_opening(tiny_bundle, engine, monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: None)
    engine.failure = KeyboardInterrupt()
    model = ProgressiveModel.open(tiny_bundle, engine=engine, wait=False)
    with pytest.raises(KeyboardInterrupt):
        model.predict(X)
    engine.failure = None
    with pytest.raises(EngineError, match=r"was interrupted\. Open it again\."):
        model.predict(X)
    model.close()
    assert engine.open_groups == 0


def test_a_process_that_ends_meanwhile_ends_well(tiny_bundle):
    script = (
        f"from tfpwl.runtime import ProgressiveModel; m = ProgressiveModel.open({str(tiny_bundle.root)!r}, wait=False)"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, [line for line in done.stderr.splitlines() if "INFO" not in line]) == (0, [])
