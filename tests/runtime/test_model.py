from __future__ import annotations

import numpy as np
import pytest

from tfpwl.bundle import Bundle, Requires, update_manifest
from tfpwl.errors import BundleError, EngineError, RuntimeTooOldError
from tfpwl.runtime import Change, InterpreterEngine, ProgressiveModel, State
from tfpwl.runtime.footprint import loaded_bytes

X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)


def answer_of(bundle: Bundle, mix: str) -> np.ndarray:
    """What the files of ``mix`` answer, run one after another without the runtime."""
    answer = X
    for entry in bundle.chain(mix):
        answer = InterpreterEngine().load(bundle.read(entry), threads=1)(answer)
    return answer


def taken(bundle: Bundle, mix: str) -> int:
    return sum(loaded_bytes(bundle.read(entry)) for entry in bundle.chain(mix))


@pytest.fixture
def model(tiny_bundle):
    with ProgressiveModel.open(tiny_bundle.root) as opened:
        yield opened


def test_it_answers_with_the_student_at_once(model, tiny_bundle):
    assert (model.mix, model.state, model.last_error) == ("SSS", State.READY, None)
    np.testing.assert_array_equal(model.predict(X), answer_of(tiny_bundle, "SSS"))
    assert model.predict(X).dtype == np.float32
    assert model.resident_bytes == taken(tiny_bundle, "SSS")


def test_opening_reads_the_students_files_only(tiny_bundle, monkeypatch):
    read = []
    real = Bundle.read
    monkeypatch.setattr(Bundle, "read", lambda self, entry: read.append(entry.file) or real(self, entry))
    with ProgressiveModel.open(tiny_bundle):
        assert sorted(read) == ["g0.student.tflite", "g1.student.tflite", "g2.student.tflite"]


def test_every_mix_of_the_path_answers_as_its_files_do(model, tiny_bundle):
    for mix in ("TSS", "TTS", "TTT"):
        model.upgrade(until=mix, background=False)
        assert model.mix == mix
        np.testing.assert_array_equal(model.predict(X), answer_of(tiny_bundle, mix))
        assert model.resident_bytes == taken(tiny_bundle, mix)
    assert model.state is State.COMPLETE
    for mix in ("TTS", "STS", "SSS"):
        model.downgrade(mix)
        assert (model.mix, model.state) == (mix, State.READY)
        np.testing.assert_array_equal(model.predict(X), answer_of(tiny_bundle, mix))
        assert model.resident_bytes == taken(tiny_bundle, mix)


def test_upgrade_walks_the_manifests_order_in_the_background(tiny_bundle):
    bundle = update_manifest(tiny_bundle, order=(2, 0, 1))
    changes = []
    with ProgressiveModel.open(bundle) as model:
        model.on_change(changes.append)
        model.upgrade()
        assert model.wait(60)
        assert (model.mix, model.state) == ("TTT", State.COMPLETE)
    assert changes == [
        Change("SSS", State.UPGRADING),
        Change("SST", State.UPGRADING),
        Change("TST", State.UPGRADING),
        Change("TTT", State.COMPLETE),
        Change("TTT", State.CLOSED),
    ]


def test_an_order_of_ones_own_may_be_given(model):
    changes = []
    model.on_change(lambda change: changes.append(change.mix))
    model.upgrade(order=[1, 2, 0], until="STT", background=False)
    assert changes == ["SSS", "STS", "STT"]
    assert model.state is State.READY
    model.upgrade(background=False)
    assert model.mix == "TTT"


def test_upgrading_a_whole_teacher_does_nothing(model):
    model.upgrade(background=False)
    changes = []
    model.on_change(changes.append)
    model.upgrade()
    assert model.wait(60)
    assert (changes, model.state) == ([], State.COMPLETE)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"order": [0, 1]}, r"order \[0, 1\]; expected each group 0..2 once"),
        ({"order": [0, 1, 1]}, r"order \[0, 1, 1\]"),
        ({"until": "STS"}, "until='STS'; order .* leads through SSS → TSS → TTS → TTT"),
        ({"until": "TT"}, "mix 'TT'; expected 3 letters"),
    ],
)
@pytest.mark.parametrize("background", [True, False])
def test_an_upgrade_that_leads_nowhere_is_refused(model, arguments, reason, background):
    with pytest.raises(ValueError, match=reason):
        model.upgrade(**arguments, background=background)
    assert model.state is State.READY


@pytest.mark.parametrize(
    ("mix", "reason"),
    [("TSS", "less of the teacher. Use upgrade"), ("SS", "expected 3 letters"), ("XXX", "letter S or T")],
)
def test_a_downgrade_that_is_none_is_refused(model, mix, reason):
    with pytest.raises(ValueError, match=reason):
        model.downgrade(mix)


def test_a_downgrade_without_mix_goes_back_to_the_student(model):
    model.upgrade(background=False)
    model.downgrade()
    assert model.mix == "SSS"


def test_input_may_lack_the_batch_axis(model):
    np.testing.assert_array_equal(model.predict(X[0]), model.predict(X))
    assert model.predict(X[0]).shape == (1, 4)


def test_input_in_any_memory_layout_gives_the_same_answer(model):
    np.testing.assert_array_equal(model.predict(np.asfortranarray(X)), model.predict(X))
    np.testing.assert_array_equal(model.predict(X[:, ::-1, ::-1]), model.predict(X[:, ::-1, ::-1].copy()))


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (X.astype(np.float64), "dtype float64; expected float32. Make model input with model.preprocess"),
        (np.zeros((1, 6, 6, 1), np.uint8), "dtype uint8; expected float32"),
        (np.zeros((2, 6, 6, 1), np.float32), r"shape \[2, 6, 6, 1\]; expected \[1, 6, 6, 1\]"),
        (np.zeros((6, 6), np.float32), r"shape \[6, 6\]; expected \[1, 6, 6, 1\]"),
        (np.float32(0), r"shape \[\]; expected \[1, 6, 6, 1\]"),
    ],
)
def test_other_input_is_refused(model, x, reason):
    with pytest.raises(ValueError, match=reason):
        model.predict(x)


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (1, 6, 6, 1), (1, 6, 6)])
def test_raw_input_is_made_model_input(model, shape):
    raw = np.arange(36, dtype=np.uint8).reshape(shape)
    x = model.preprocess(raw)
    assert (x.shape, x.dtype) == ((1, 6, 6, 1), np.float32)
    np.testing.assert_array_equal(x.ravel(), np.arange(36, dtype=np.float32) / 16)
    assert model.predict(x).shape == (1, 4)


def test_raw_input_of_another_shape_is_refused(model):
    with pytest.raises(ValueError, match=r"raw input of shape \[6, 5\]; expected \[1, 6, 6, 1\]"):
        model.preprocess(np.zeros((6, 5)))


def test_an_answer_belongs_to_the_caller(model):
    first = model.predict(X)
    kept = first.copy()
    model.predict(np.zeros_like(X))
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    np.testing.assert_array_equal(model.predict(X), kept)


def test_a_bundle_for_a_newer_runtime_is_refused_before_a_file_is_read(tiny_bundle, monkeypatch):
    bundle = update_manifest(tiny_bundle, requires=Requires("99.0.0"))
    monkeypatch.setattr(Bundle, "read", lambda *_: pytest.fail("a file was read"))
    with pytest.raises(RuntimeTooOldError, match=r"needs TFLite 99.0.0 .*pip install -U ai-edge-litert"):
        ProgressiveModel.open(bundle.root)


def test_a_missing_bundle_is_a_bundle_error(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        ProgressiveModel.open(tmp_path / "nowhere")


def test_a_closed_model_says_so(tiny_bundle):
    model = ProgressiveModel.open(tiny_bundle)
    model.close()
    model.close()
    assert (model.mix, model.state, model.resident_bytes) == ("SSS", State.CLOSED, 0)
    for use in (lambda: model.predict(X), model.upgrade, model.downgrade, lambda: model.upgrade(background=False)):
        with pytest.raises(EngineError, match="was closed; open the bundle again"):
            use()
    assert model.wait(0)
