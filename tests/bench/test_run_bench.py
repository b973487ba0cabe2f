from __future__ import annotations

import json
import subprocess
import sys
import threading

import numpy as np
import pytest

from tfpwl.bench import results
from tfpwl.bench.demands import check_demands
from tfpwl.bench.ladder import measure_ladder
from tfpwl.bench.results import BenchResult
from tfpwl.bench.rivals import Rivals, find_rivals
from tfpwl.bench.rounds import repeat_upgrades
from tfpwl.bench.run import BenchOptions, run_bench, run_worker
from tfpwl.bench.upgrade import ask_from_threads
from tfpwl.bundle import Bundle, pack
from tfpwl.errors import DataError, EngineError, TfpwlError
from tfpwl.report.bench_figure import plot_first_moments
from tfpwl.report.bench_sheets import bench_sheets, describe_run
from tfpwl.report.sheets import markdown_table

QUICK = BenchOptions(repeats=2, steady_s=0.01, crowd=3, crowd_upgrades=2, rounds=4)
INPUT = {"shape": [1, 6, 6, 1], "dtype": "float32"}


def test_everything_is_measured_in_one_run(with_rivals, tmp_path):
    steps = []
    result = run_bench(
        with_rivals, find_rivals(with_rivals), QUICK, on_progress=lambda a, b, what: steps.append((a, b))
    )
    names = [
        results.BUNDLE, results.BUNDLE_EARLY, results.BUNDLE_CACHED, results.BUNDLE_INTERPRETER, results.STUDENT,
        results.TEACHER, results.TEACHER_CACHED, results.TEACHER_INTERPRETER,
    ]  # fmt: skip
    assert [(s.name, s.cold) for s in result.starts] == [(name, cold) for cold in (False, True) for name in names]
    for s in result.starts:
        assert len(s.total_ms) == 2
        assert min(s.total_ms) > 0
    # The same weights through another number of files. At a cut operators fuse otherwise: float32 rounding.
    assert set(result.differences) == {"all-teacher mix / teacher, one piece", "all-student mix / student, one piece"}
    assert max(result.differences.values()) < 1e-5
    assert [upgrade.cold for upgrade in result.upgrades] == [False, True]
    assert list(result.upgrades[0].steady_ms) == ["SSS", "TSS", "TTS", "TTT"]
    assert result.upgrades[0].example[-1].mix == "TTT"
    assert result.crowd is not None
    assert result.crowd.asked > 0
    assert (result.crowd.lost, result.crowd.wrong) == (0, 0)
    assert result.rounds is not None
    # Fewer than before is no leak: a thread of the first round may have ended meanwhile.
    assert result.rounds.files_left <= 0
    assert result.rounds.threads_left <= 0
    assert steps[-1][0] == steps[-1][1]
    assert "Medians of 2 processes: for trying out, not for a table." in result.notes
    assert BenchResult.from_json(result.to_json()) == result
    sheets = bench_sheets(result, check_demands(result))
    text = "\n".join(map(markdown_table, sheets))
    assert "| bundle |" in text
    assert "not met (measured too seldom)" in text
    assert "2 fresh processes per figure" in describe_run(result)
    plot_first_moments(tmp_path / "first.png", result)
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")


def test_cold_starts_read_from_disk_and_warm_ones_do_not(with_rivals):
    result = run_bench(
        with_rivals, Rivals(), BenchOptions(repeats=1, steady_s=0, crowd=0, rounds=0, engine="interpreter")
    )
    warm, cold = (result.start(results.BUNDLE, cold=cold) for cold in (False, True))
    assert warm is not None
    assert cold is not None
    assert warm.resident_share == 1.0
    if cold.resident_share:
        assert any("cold figures are not cold" in note for note in result.notes)
        return
    student = sum(entry.bytes for entry in with_rivals.chain("SSS"))
    assert cold.storage_read is None or cold.storage_read >= student
    assert result.engine == "interpreter"
    assert {start.name for start in result.starts} == {results.BUNDLE, results.BUNDLE_EARLY}


def test_a_broken_bundle_is_told_with_the_workers_words(with_rivals):
    file = with_rivals.root / "g1.student.tflite"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(TfpwlError, match=r"failed: IntegrityError: .*g1\.student\.tflite"):
        run_bench(with_rivals, Rivals(), QUICK)


def test_a_worker_that_dies_is_told_with_its_last_words():
    with pytest.raises(TfpwlError, match=r"(?s)died with exit code 1.*KeyError"):
        run_worker({"task": "nothing"})


def test_a_one_piece_model_of_another_shape_is_told(with_rivals, bad_files, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(bad_files["nan"])
    with pytest.raises(TfpwlError, match="failed: EngineError"):
        run_bench(with_rivals, Rivals(teacher=other), QUICK)


def test_a_packed_bundle_has_to_be_unpacked(with_rivals, tmp_path):
    pack(with_rivals, tmp_path / "b.tfpwl")
    with pytest.raises(EngineError, match="Unpack it first"):
        run_bench(Bundle.open(tmp_path / "b.tfpwl"), None, QUICK)


@pytest.mark.parametrize("stays", [False, True])
def test_a_thread_that_ends_late_is_not_one_that_was_left(with_rivals, stays):
    may_end = threading.Event()

    def begin_thread(done, total):
        if done == total:
            threading.Thread(target=may_end.wait, args=(None if stays else 0.3,)).start()

    x = np.zeros((1, 6, 6, 1), np.float32)
    try:
        found = repeat_upgrades(str(with_rivals.root), "litert", x, rounds=2, on_progress=begin_thread)
    finally:
        may_end.set()
    assert (found.files_left, found.threads_left) == (0, int(stays))


def test_rivals_are_found_beside_the_bundle(with_rivals, tmp_path):
    folder = with_rivals.root.parent / "rivals"
    found = find_rivals(with_rivals)
    assert found == Rivals(
        folder / "teacher.fp32.tflite", folder / "student.fp32.tflite", folder / "teacher.fp32.tflite"
    )
    given = tmp_path / "mine.tflite"
    given.touch()
    assert find_rivals(with_rivals, teacher=given).teacher == given
    with pytest.raises(DataError, match=r"There is no file .*nowhere"):
        find_rivals(with_rivals, student=tmp_path / "nowhere")


def test_the_teacher_that_a_build_left_is_found_unless_there_are_two(tiny_bundle):
    stages = tiny_bundle.root.parent / "stages"
    for key in ("1", "2"):
        (stages / f"export-{key}").mkdir(parents=True)
        (stages / f"export-{key}" / "teacher.tflite").touch()
        expected = stages / "export-1" / "teacher.tflite" if key == "1" else None
        assert find_rivals(tiny_bundle).teacher == expected


def test_wrong_answers_are_counted(with_rivals, monkeypatch):
    from tfpwl.runtime import ProgressiveModel

    true_predict = ProgressiveModel.predict
    opened = []

    def predict(self, x):
        # The first model gives the answers to compare with; the second one is the one that is asked.
        if self not in opened:
            opened.append(self)
        answer = true_predict(self, x)
        return answer + 1 if self is not opened[0] else answer

    monkeypatch.setattr(ProgressiveModel, "predict", predict)
    x = np.random.default_rng(0).random((2, 1, 6, 6, 1), np.float32)
    found = ask_from_threads(str(with_rivals.root), "litert", x, num_threads=2, upgrades=1)
    assert found.asked > 0
    assert found.wrong == found.asked


def test_ladder_compares_cuts_with_one_piece(with_rivals):
    whole = with_rivals.root.parent / "rivals" / "teacher.fp32.tflite"
    result = measure_ladder([with_rivals], whole, repeats=1, seconds=0.01)
    assert [step.num_groups for step in result.steps] == [3]
    assert len(result.steps[0].boundary_us) == 1
    student = with_rivals.root.parent / "rivals" / "student.fp32.tflite"
    with pytest.raises(DataError, match="answers something else"):
        measure_ladder([with_rivals], student, repeats=1, seconds=0.01)


def test_a_worker_loads_neither_tensorflow_nor_what_only_the_parent_needs(with_rivals):
    subject = {"name": "b", "path": str(with_rivals.root), "engine": "litert", "is_bundle": True}
    task = json.dumps({"task": "start", "cold": False, **INPUT, "subject": subject})
    unwanted = {"tensorflow", "keras", "matplotlib", "rich", "click", "subprocess", "ai_edge_litert.interpreter"}
    code = (
        "import sys, tfpwl.bench.worker as worker\n"
        "worker.main(sys.argv[1])\n"
        f"print(sorted({unwanted!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, task], capture_output=True, text=True, check=True, timeout=60)
    measured, loaded = done.stdout.splitlines()
    assert json.loads(measured)["create_ms"] > 0
    assert loaded == "[]"
