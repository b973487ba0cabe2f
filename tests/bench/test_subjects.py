from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfpwl.bench.subjects import Subject, fill_cache, import_for, open_subject
from tfpwl.errors import EngineError, IntegrityError
from tfpwl.runtime import ProgressiveModel

X = np.random.default_rng(1).random((1, 6, 6, 1), np.float32)


@pytest.mark.parametrize("engine", ["litert", "interpreter"])
@pytest.mark.parametrize(("mix", "rival"), [("SSS", "student"), ("TTT", "teacher")])
def test_bundle_and_one_piece_answer_alike(with_rivals, engine, mix, rival):
    bundle = Subject("bundle", str(with_rivals.root), engine, is_bundle=True, mix=mix)
    whole = Subject("whole", str(with_rivals.root.parent / "rivals" / f"{rival}.fp32.tflite"), engine)
    import_for(bundle)
    # Operators at a cut are fused with other neighbours: float32 rounding of values around 1.
    np.testing.assert_allclose(open_subject(bundle)(X), open_subject(whole)(X), atol=1e-5)


def test_any_mix_can_be_opened(with_rivals):
    with ProgressiveModel.open(with_rivals) as model:
        model.upgrade(order=(2, 0, 1), until="TST", background=False)
        expected = model.predict(X)
    subject = Subject("bundle", str(with_rivals.root), "litert", is_bundle=True, mix="TST")
    np.testing.assert_array_equal(open_subject(subject)(X), expected)


def test_a_warm_weight_cache_is_written_once_and_gives_the_same_answer(with_rivals, tmp_path):
    path, cache = str(with_rivals.root.parent / "rivals" / "teacher.fp32.tflite"), tmp_path / "weights"
    plain = Subject("plain", path, "litert")
    cached = Subject("cached", path, "litert", weight_cache=str(cache))
    assert cached.files() == [Path(path)]
    fill_cache(cached)
    written = cache.stat()
    assert cached.files() == [Path(path), cache]
    np.testing.assert_array_equal(open_subject(cached)(X), open_subject(plain)(X))
    assert (cache.stat().st_ino, cache.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_bundle_fills_a_folder_with_packed_weights(with_rivals, tmp_path):
    plain = Subject("plain", str(with_rivals.root), "litert", is_bundle=True)
    cached = replace(plain, weight_cache=str(tmp_path / "cache"))
    fill_cache(cached)
    assert {file.parent.name for file in cached.files()} == {with_rivals.root.name, "cache"}
    np.testing.assert_array_equal(open_subject(cached)(X), open_subject(plain)(X))


def test_a_weight_cache_that_cannot_be_written_is_an_error(with_rivals, tmp_path):
    path = str(with_rivals.root.parent / "rivals" / "teacher.fp32.tflite")
    subject = Subject("cached", path, "litert", weight_cache=str(tmp_path / "nowhere" / "weights"))
    with pytest.raises(EngineError):
        fill_cache(subject)


@pytest.mark.parametrize("engine", ["litert", "interpreter"])
def test_a_file_that_is_no_model_is_told(tmp_path, engine):
    (tmp_path / "no.tflite").write_bytes(b"no model at all" * 10)
    with pytest.raises(EngineError, match="cannot load"):
        open_subject(Subject("no", str(tmp_path / "no.tflite"), engine))


def test_sums_are_checked(with_rivals, tmp_path):
    broken = shutil.copytree(with_rivals.root, tmp_path / "broken")
    file = broken / "g0.student.tflite"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"g0\.student"):
        open_subject(Subject("bundle", str(broken), "litert", is_bundle=True))


def test_files_of_a_bundle_are_all_in_its_folder(with_rivals):
    names = {path.name for path in Subject("bundle", str(with_rivals.root), "litert", is_bundle=True).files()}
    assert {"manifest.json", "g0.student.tflite", "g2.teacher.tflite"} <= names
