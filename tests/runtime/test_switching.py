"""Changes of mix that meet failures, one another, callbacks and close()."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from tfpwl.bundle import TensorSpec, update_manifest
from tfpwl.errors import ContractError, EngineError, IntegrityError
from tfpwl.runtime import Change, ProgressiveModel, State

X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
WAIT_S = 60


@pytest.fixture
def model(tiny_bundle, engine):
    with ProgressiveModel.open(tiny_bundle, engine=engine) as opened:
        yield opened


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "the manifest expects"),
        (flip_a_bit, "the content has SHA-256"),
    ],
    ids=["missing", "truncated", "bit flipped"],
)
def test_a_damaged_group_leaves_the_last_good_mix_and_can_be_tried_again(model, tiny_bundle, caplog, damage, reason):
    path = tiny_bundle.root / "g1.teacher.tflite"
    whole = path.read_bytes()
    damage(path)
    changes = []
    model.on_change(changes.append)
    model.upgrade()
    assert model.wait(WAIT_S)
    assert (model.mix, model.state) == ("TSS", State.FAILED)
    assert isinstance(model.last_error, IntegrityError)
    assert reason in str(model.last_error)
    assert changes[-1] == Change("TSS", State.FAILED, model.last_error)
    assert "The model stays on mix TSS" in caplog.text
    assert model.predict(X).shape == (1, 4)

    path.write_bytes(whole)
    model.upgrade()
    assert model.wait(WAIT_S)
    assert (model.mix, model.state, model.last_error) == ("TTT", State.COMPLETE, None)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (EngineError("no kernel"), "g0.teacher.tflite: no kernel"),
        (MemoryError(), "g0.teacher.tflite: not enough memory to load its [0-9]+ bytes. Free some and try again."),
        (KeyError("plugin"), "g0.teacher.tflite: the engine '(litert|interpreter)' failed with KeyError: 'plugin'"),
    ],
)
def test_whatever_an_engine_raises_leaves_the_student(model, engine, failure, reason):
    engine.failure = failure
    with pytest.raises(EngineError, match=reason):
        model.upgrade(background=False)
    assert (model.mix, model.state) == ("SSS", State.FAILED)
    assert re.fullmatch(reason, str(model.last_error))
    engine.failure = None
    model.upgrade(background=False)
    assert model.state is State.COMPLETE


def test_a_failed_upgrade_keeps_no_memory(model, engine, tiny_bundle):
    (tiny_bundle.root / "g2.teacher.tflite").unlink()
    model.upgrade(until="TTS", background=False)
    assert engine.open_groups == 4
    with pytest.raises(IntegrityError):
        model.upgrade(background=False)
    assert engine.open_groups == 4


def test_a_broken_file_with_the_right_sum_is_an_engine_error(tiny_bundle, engine, tiny_files, smuggle):
    bundle = smuggle(tiny_bundle, 0, "teacher", tiny_files["g0.teacher"][:600])
    with ProgressiveModel.open(bundle, engine=engine) as model:
        with pytest.raises(EngineError, match=r"g0.teacher.tflite: .* cannot load the file"):
            model.upgrade(background=False)
        assert model.predict(X).shape == (1, 4)


def test_a_file_that_breaks_the_boundary_contract_never_answers(tiny_bundle, engine):
    first = tiny_bundle.manifest.boundaries[0]
    changed = replace(first, teacher=TensorSpec(first.teacher.shape, "int8", 0.5, 0))
    bundle = update_manifest(tiny_bundle, boundaries=(changed, tiny_bundle.manifest.boundaries[1]))
    with ProgressiveModel.open(bundle, engine=engine) as model:
        with pytest.raises(ContractError, match=r"its output is float32 .* but the teacher side of boundary 0 is int8"):
            model.upgrade(background=False)
        assert (model.mix, engine.open_groups) == ("SSS", 3)


def test_a_damaged_student_keeps_the_model_from_opening(tiny_bundle, engine):
    flip_a_bit(tiny_bundle.root / "g2.student.tflite")
    with pytest.raises(IntegrityError, match=r"g2.student.tflite"):
        ProgressiveModel.open(tiny_bundle, engine=engine)
    assert engine.open_groups == 0


def test_a_downgrade_that_fails_leaves_the_mix(model, tiny_bundle):
    model.upgrade(background=False)
    (tiny_bundle.root / "g2.student.tflite").unlink()
    with pytest.raises(IntegrityError, match=r"g2.student.tflite"):
        model.downgrade("TTS")
    assert (model.mix, model.state) == ("TTT", State.FAILED)
    assert model.predict(X).shape == (1, 4)


def test_files_of_other_mixes_are_given_back(model, engine):
    counts = []
    model.on_change(lambda change: counts.append((change.mix, engine.open_groups)))
    model.upgrade(background=False)
    model.downgrade()
    # Four while a converter runs. A change is told before the old chain's last reference is gone or after, so only
    # the rest is counted at the end.
    assert [mix for mix, _ in counts] == ["SSS", "TSS", "TTS", "TTT", "SSS"]
    assert engine.open_groups == 3
    model.close()
    assert engine.open_groups == 0


def test_files_that_stay_are_not_loaded_again(model, engine):
    assert engine.loads == 3
    model.upgrade(until="TSS", background=False)
    assert engine.loads == 5  # g0.teacher, b0.encoder
    model.upgrade(until="TTS", background=False)
    assert engine.loads == 7  # g1.teacher, b1.encoder


def test_answers_go_on_while_a_group_loads(model, engine):
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        assert model.state is State.UPGRADING
        assert not model.wait(0.01)
        assert (model.mix, model.predict(X).shape) == ("SSS", (1, 4))
    assert model.wait(WAIT_S)
    assert model.mix == "TTT"


def test_close_during_a_load_waits_for_it_and_drops_it(tiny_bundle, engine):
    model = ProgressiveModel.open(tiny_bundle, engine=engine)
    changes = []
    model.on_change(changes.append)
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        closer = threading.Thread(target=model.close)
        closer.start()
        closer.join(0.05)
        assert closer.is_alive()
        assert model.state is State.CLOSED
    closer.join(WAIT_S)
    assert not closer.is_alive()
    assert [change.state for change in changes] == [State.UPGRADING, State.CLOSED]
    assert engine.open_groups == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "tfpwl-upgrade"]


def test_an_answer_that_runs_when_the_model_closes_is_finished(tiny_bundle, engine):
    model = ProgressiveModel.open(tiny_bundle, engine=engine)
    expected = model.predict(X)
    chain = model._switcher.chain
    entered, go_on = threading.Event(), threading.Event()

    def slow(x, run=chain.run):
        entered.set()
        assert go_on.wait(WAIT_S)
        return run(x)

    model._switcher.chain = chain._replace(run=slow)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(model.predict(X)))
    asking.start()
    assert entered.wait(WAIT_S)
    del chain
    model.close()
    # Its groups are still there: the answer holds the chain.
    assert engine.open_groups == 3
    go_on.set()
    asking.join(WAIT_S)
    np.testing.assert_array_equal(answers[0], expected)
    assert engine.open_groups == 0


def test_a_downgrade_cancels_the_upgrade_under_way(model, engine):
    model.upgrade(until="TSS", background=False)
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        done = threading.Thread(target=model.downgrade)
        done.start()
    done.join(WAIT_S)
    assert model.wait(WAIT_S)
    assert (model.mix, model.state, engine.open_groups) == ("SSS", State.READY, 3)


def test_the_same_upgrade_twice_is_one(model, engine):
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        model.upgrade()
        assert sum(thread.name == "tfpwl-upgrade" for thread in threading.enumerate()) == 1
    assert model.wait(WAIT_S)
    assert model.mix == "TTT"


def test_another_upgrade_takes_the_place_of_the_one_under_way(model, engine):
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        model.upgrade(until="TSS")
    assert model.wait(WAIT_S)
    assert (model.mix, model.state) == ("TSS", State.READY)


def test_a_callback_that_raises_is_logged_and_stops_nothing(model, caplog):
    changes = []
    model.on_change(lambda change: 1 / 0)
    model.on_change(changes.append)
    with caplog.at_level(logging.ERROR):
        model.upgrade()
        assert model.wait(WAIT_S)
    assert model.state is State.COMPLETE
    assert len(changes) == 4
    assert caplog.text.count("ZeroDivisionError") == 4


@pytest.mark.parametrize("background", [True, False])
def test_a_callback_may_use_the_model(model, background):
    def at_the_first_swap(change):
        model.predict(X)
        if change.mix == "TSS" and change.state is State.UPGRADING:
            model.downgrade()

    model.on_change(at_the_first_swap)
    model.upgrade(background=background)
    assert model.wait(WAIT_S)
    assert (model.mix, model.state) == ("SSS", State.READY)


@pytest.mark.parametrize("background", [True, False])
def test_a_callback_may_close_the_model(tiny_bundle, engine, background):
    model = ProgressiveModel.open(tiny_bundle, engine=engine)
    model.on_change(lambda change: change.mix == "TSS" and model.close())
    model.upgrade(background=background)
    assert model.wait(WAIT_S)
    for thread in threading.enumerate():
        if thread.name == "tfpwl-upgrade":
            thread.join(WAIT_S)
    assert (model.mix, model.state, engine.open_groups) == ("TSS", State.CLOSED, 0)


def test_a_callback_may_try_again(model, tiny_bundle):
    path = tiny_bundle.root / "g1.teacher.tflite"
    whole = path.read_bytes()
    path.unlink()
    states = []

    def repair(change):
        states.append((change.mix, change.state))
        if change.state is State.FAILED:
            path.write_bytes(whole)
            model.upgrade()

    model.on_change(repair)
    model.upgrade()
    assert model.wait(WAIT_S)
    assert states == [
        ("SSS", State.UPGRADING),
        ("TSS", State.UPGRADING),
        ("TSS", State.FAILED),
        ("TSS", State.UPGRADING),
        ("TTS", State.UPGRADING),
        ("TTT", State.COMPLETE),
    ]


def test_changes_are_told_in_their_order_and_one_at_a_time(model, engine):
    """A callback that is busy in one thread does not hear of the next change from another."""
    told, busy, go_on = [], threading.Event(), threading.Event()

    def slow(change):
        told.append((change.mix, change.state))
        if len(told) == 1:
            busy.set()
            assert go_on.wait(WAIT_S)

    model.on_change(slow)
    model.upgrade()
    assert busy.wait(WAIT_S)
    model.upgrade(until="TSS", background=False)
    model.downgrade()
    assert told == [("SSS", State.UPGRADING)]
    go_on.set()
    assert model.wait(WAIT_S)
    for thread in threading.enumerate():
        if thread.name == "tfpwl-upgrade":
            thread.join(WAIT_S)
    assert told == [("SSS", State.UPGRADING), ("TSS", State.READY), ("SSS", State.READY)]


def test_an_upgrade_replaced_by_one_that_has_nothing_to_do_comes_to_rest(model, engine):
    states = []
    model.on_change(lambda change: states.append(change.state))
    with engine.held():
        model.upgrade()
        assert engine.waiting.wait(WAIT_S)
        model.upgrade(until="SSS")
        assert model.wait(WAIT_S)
        assert model.state is State.READY
    assert states == [State.UPGRADING, State.READY]


def test_waiting_for_oneself_is_refused(model, caplog):
    model.on_change(lambda change: model.wait())
    model.upgrade()
    assert model.wait(WAIT_S)
    assert "called by a callback of the change that it would wait for" in caplog.text


def test_an_app_may_end_during_an_upgrade(tiny_bundle):
    script = (
        "import sys\nfrom tfpwl.runtime import ProgressiveModel\n"
        f"model = ProgressiveModel.open({str(tiny_bundle.root)!r})\nmodel.upgrade()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "terminate" not in ended.stderr
