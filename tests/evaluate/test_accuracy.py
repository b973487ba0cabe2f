from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tfpwl
from tfpwl.bundle import Bundle, Preprocess
from tfpwl.errors import DataError, EngineError, IntegrityError
from tfpwl.evaluate import MixResult, accuracy, default_mixes, evaluate_mixes
from tfpwl.evaluate.pool import WorkerPool
from tfpwl.evaluate.scorer import count_right, split
from tfpwl.evaluate.tree import build_tree, count_runs
from tfpwl.mix import Mix, all_mixes

SOME_MIXES = [Mix("SSS"), Mix("TSS"), Mix("TTT")]


def keras_answers(pair, mix: Mix, x: np.ndarray) -> np.ndarray:
    for step in pair.chain(mix):
        x = step(x, training=False)
    return np.asarray(x)


def corrupt_copy(bundle: Bundle, folder, name: str) -> Bundle:
    copy = shutil.copytree(bundle.root, folder / "corrupt")
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    return Bundle.open(copy)


@pytest.fixture(scope="module")
def keras_counts(pair, images) -> dict[str, int]:
    x, y = images
    return {mix: int(np.sum(keras_answers(pair, mix, x).argmax(1) == y)) for mix in all_mixes(3)}


def test_all_mixes_through_the_files_are_as_right_as_in_keras(bundle, images, keras_counts):
    results = evaluate_mixes(bundle, *images, workers=1)
    assert list(results) == list(all_mixes(3))
    assert {mix: r.correct for mix, r in results.items()} == keras_counts
    assert len(set(keras_counts.values())) > 1, "the mixes must differ for this test to mean anything"
    assert results[Mix("TTT")].accuracy == keras_counts["TTT"] / 150


@pytest.mark.parametrize("workers", [2, 3])
def test_results_do_not_depend_on_the_number_of_workers(bundle, images, keras_counts, workers):
    results = evaluate_mixes(bundle, *images, workers=workers)
    assert {mix: r.correct for mix, r in results.items()} == keras_counts


@pytest.fixture(scope="module")
def bundle_of_bytes(bundle, tmp_path_factory) -> Bundle:
    """The same files behind a preprocessing that is not the identity."""
    root = shutil.copytree(bundle.root, tmp_path_factory.mktemp("bundle") / "bytes")
    preprocess = Preprocess(1 / 255, (0.5,), (0.25,))
    manifest = dataclasses.replace(
        bundle.manifest, input=dataclasses.replace(bundle.manifest.input, preprocess=preprocess)
    )
    (root / "manifest.json").write_text(manifest.to_json(), "utf-8")
    return Bundle.open(root)


@pytest.mark.parametrize("workers", [1, 2])
def test_raw_images_are_preprocessed_and_counted_the_same(pair, bundle_of_bytes, images, workers):
    raw = np.clip(images[0] * 40 + 128, 0, 255).astype(np.uint8)
    x = (raw.astype(np.float32) / 255 - 0.5) / 0.25
    right = keras_answers(pair, Mix("SSS"), x).argmax(1)
    results = evaluate_mixes(bundle_of_bytes, raw, right, raw=True, workers=workers)
    assert results == evaluate_mixes(bundle_of_bytes, x, right, workers=1)
    assert results[Mix("SSS")].accuracy == 1.0
    as_they_are = evaluate_mixes(bundle_of_bytes, raw.astype(np.float32), right, [Mix("SSS")], workers=1)
    assert as_they_are[Mix("SSS")].accuracy < 1.0, "preprocessing must matter for this test to mean anything"


def test_a_large_test_set_is_never_preprocessed_at_once(bundle):
    raw = np.zeros((20_000, 6, 6, 1), np.uint8)
    labels = np.zeros(len(raw), np.int64)
    tracemalloc.start()
    evaluate_mixes(bundle, raw, labels, [Mix("SSS")], raw=True, workers=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < raw.nbytes  # as float32 the images alone would be four times that


def test_raw_images_of_another_shape_are_refused(bundle, images):
    with pytest.raises(DataError, match=r"shape \(1, 3, 6, 1\) .* expected n of \(6, 6, 1\)"):
        evaluate_mixes(bundle, images[0][:, :3], images[1], raw=True)


def test_a_last_batch_that_is_not_full_counts_each_image_once(bundle_of_batch_4, images, keras_counts):
    results = evaluate_mixes(bundle_of_batch_4, *images, workers=1)
    assert {mix: r.correct for mix, r in results.items()} == keras_counts
    assert {r.total for r in results.values()} == {150}


def test_only_the_mixes_asked_for_are_evaluated_in_their_order(bundle, images):
    assert list(evaluate_mixes(bundle, *images, [Mix("TTT"), Mix("SSS"), Mix("TTT")], workers=1)) == ["TTT", "SSS"]


def test_progress_ends_at_all_images(bundle, images):
    seen: list[tuple[int, int]] = []
    evaluate_mixes(bundle, *images, SOME_MIXES, workers=1, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 150), (128, 150), (150, 150)]


def test_a_shared_beginning_runs_once(bundle):
    # 2 + 4 + 8 groups, and a converter at boundary 0 for each of its 2 changes of side; one by one 24 and 4.
    assert count_runs(build_tree(bundle, all_mixes(3))) == 14 + 2
    assert count_runs(build_tree(bundle, [Mix("TTT")])) == 3


def test_beyond_six_groups_only_the_path_is_evaluated():
    assert default_mixes((6, 5, 4, 3, 2, 1, 0))[:2] == ("SSSSSSS", "SSSSSST")
    assert len(default_mixes(range(7))) == 8
    assert len(default_mixes(range(6))) == 2**6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_changed_byte_is_found_before_the_file_is_loaded(bundle, images, tmp_path, workers):
    with pytest.raises(IntegrityError, match=r"g1\.teacher\.tflite: the content has SHA-256"):
        evaluate_mixes(corrupt_copy(bundle, tmp_path, "g1.teacher.tflite"), *images, workers=workers)


def test_a_worker_that_dies_is_an_error_and_not_a_hang(bundle, images):
    slices = [images] * 50
    with WorkerPool(bundle, SOME_MIXES, 2) as pool:
        scores = pool.score(slices)
        next(scores)
        pool.workers[0].process.kill()
        with pytest.raises(EngineError, match=r"worker died with exit code -9\. .*workers=1 to run in this process"):
            list(scores)
    assert [worker.process.poll() for worker in pool.workers] == [-9, -9]


def test_a_worker_that_cannot_start_tells_its_last_words(bundle, images, monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('no numpy today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"(?s)exit code 1\..*no numpy today"):
        evaluate_mixes(bundle, *images, SOME_MIXES, workers=2)


def test_no_worker_is_left_when_the_caller_stops(bundle, images):
    with WorkerPool(bundle, SOME_MIXES, 2) as pool:
        next(pool.score([images] * 50))
    assert all(worker.process.poll() is not None for worker in pool.workers)


def test_workers_import_no_training_framework():
    code = "import sys, tfpwl.evaluate.worker; print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_script_without_a_main_guard_can_evaluate(bundle, images, tmp_path):
    np.savez(tmp_path / "images.npz", x=images[0], y=images[1])
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\nfrom tfpwl.bundle import Bundle\nfrom tfpwl.evaluate import evaluate_mixes\n"
        f"d = np.load({str(tmp_path / 'images.npz')!r})\n"
        f"print(len(evaluate_mixes(Bundle.open({str(bundle.root)!r}), d['x'], d['y'], workers=2)))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(tfpwl.__file__).parents[1])}
    run = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert run.stdout == "8\n", run.stderr


def test_images_of_another_shape_are_refused(bundle, images):
    with pytest.raises(DataError, match=r"Received images of shape \(150, 36\) .*expected n of \(6, 6, 1\)"):
        evaluate_mixes(bundle, images[0].reshape(150, 36), images[1])


def test_images_that_were_not_preprocessed_are_refused(bundle, images):
    with pytest.raises(DataError, match=r"dtype uint8; .*float32. Apply the manifest's preprocessing first"):
        evaluate_mixes(bundle, images[0].astype(np.uint8), images[1])


def test_no_images_are_refused(bundle, images):
    with pytest.raises(DataError, match="n at least 1"):
        evaluate_mixes(bundle, images[0][:0], images[1][:0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(149, int), r"labels of shape \(149,\)"),
        (np.zeros(150, float), "dtype float64"),
        (np.full(150, 4), "Received labels 4 to 4; expected 0 to 3"),
        (np.full(150, -1), "Received labels -1 to -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(bundle, images, labels, message):
    with pytest.raises(DataError, match=message):
        evaluate_mixes(bundle, images[0], labels)


def test_a_mix_of_another_length_is_refused(bundle, images):
    with pytest.raises(ValueError, match="Received mix 'TT'; expected 3 letters"):
        evaluate_mixes(bundle, *images, [Mix("TT")])


def test_few_images_start_no_process(bundle, images, monkeypatch):
    monkeypatch.setattr(accuracy, "WorkerPool", None)
    assert len(evaluate_mixes(bundle, *images)) == 8


def test_zero_workers_are_refused(bundle, images):
    with pytest.raises(ValueError, match="workers=0; expected 1 or more"):
        evaluate_mixes(bundle, *images, workers=0)


def test_an_answer_with_nan_is_wrong():
    answers = np.array([[0.0, 1.0], [np.nan, 1.0], [0.0, np.nan]])
    assert count_right(answers, np.array([1, 1, 1])) == 1


def test_split_fills_the_last_batch_with_its_last_image():
    assert [batch.tolist() for batch in split(np.arange(5), 2)] == [[0, 1], [2, 3], [4, 4]]


def test_accuracy_is_a_fraction():
    assert MixResult(Mix("S"), 3, 4).accuracy == 0.75
