import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfpwl.bundle import Bundle, verify
from tfpwl.data import load_dataset
from tfpwl.errors import ConfigError, ModelError, TfpwlError
from tfpwl.pipeline import build
from tfpwl.report import BuildReport
from tfpwl.runtime import ProgressiveModel


def contents(bundle):
    """Every file of a bundle but the timings that its manifest carries."""
    manifest = json.loads((bundle.root / "manifest.json").read_text())
    for entry in manifest["path"]:
        entry.pop("latency_ms")
    files = {p.name: p.read_bytes() for p in bundle.root.iterdir() if p.name != "manifest.json"}
    return {**files, "manifest.json": json.dumps(manifest)}


def test_a_build_leaves_a_bundle_that_keeps_every_contract(built):
    failed = [check for check in verify(Bundle.open(built.bundle.root)) if not check.passed]
    assert failed == []


def test_the_report_is_that_of_the_files(built):
    report = BuildReport.from_json((built.output / "metrics.json").read_text())
    assert report == built.report
    assert {str(record.mix) for record in report.mixes} == {"SS", "ST", "TS", "TT"}
    assert [entry.accuracy for entry in built.bundle.manifest.path] == [r.accuracy for r in report.path]
    assert (built.output / "report.md").read_text().startswith("# tiny")
    assert (built.output / "accuracy_path.png").read_bytes().startswith(b"\x89PNG")


def test_the_all_teacher_mix_is_the_teacher(built):
    assert built.report.teacher_difference <= 1e-5  # contract 4 at fp32
    assert built.report.path[-1].accuracy == built.report.teacher_accuracy


def test_accuracies_are_those_of_the_runtime(built):
    data = load_dataset("digits", limit=160)
    with ProgressiveModel.open(built.bundle) as model:
        answers = [model.predict(model.preprocess(image)).argmax() for image in data.test.x]
    assert np.mean(answers == data.test.y) == built.report.path[0].accuracy


def test_nothing_is_left_half_done(built):
    assert not [p for p in built.output.rglob("*") if "partial" in p.name or "checkpoint" in p.name or ".tmp" in p.name]


def test_an_unchanged_build_runs_no_stage_and_a_change_runs_what_follows(built, tiny_config, recorder, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    unchanged = recorder()
    build(tiny_config(), out, reporter=unchanged)
    assert (unchanged.ran, unchanged.cached) == ([], ["train", "distill", "export", "evaluate"])
    longer = recorder()
    build(tiny_config("distill.epochs=1"), out, reporter=longer)
    assert (longer.ran, longer.cached) == (["distill", "export", "evaluate"], ["train"])
    gated = recorder()
    build(tiny_config("gates.max_step_loss=100"), out, reporter=gated)
    assert gated.ran == []


def test_from_runs_a_stage_again_with_the_same_result(built, tiny_config, recorder, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    again = recorder()
    result = build(tiny_config(), out, start="distill", reporter=again)
    assert again.ran == ["distill", "export", "evaluate"]
    assert contents(result.bundle) == contents(built.bundle)


def test_an_interrupted_build_goes_on_and_ends_with_the_same_bytes(built, tiny_config, recorder, tmp_path):
    for stage in ("train", "distill"):
        # 5 steps an epoch: in the middle of the second
        with pytest.raises(KeyboardInterrupt):
            build(
                tiny_config(), tmp_path / "out", reporter=recorder(lambda s, done, stage=stage: s == stage and done > 5)
            )
    resumed = recorder()
    result = build(tiny_config(), tmp_path / "out", reporter=resumed)
    assert resumed.cached == ["train"]
    assert min(done for stage, done, _ in resumed.progress if stage == "distill") > 5
    assert contents(result.bundle) == contents(built.bundle)


def test_a_build_in_another_process_gives_the_same_bytes(built, tmp_path):
    code = (
        "import sys; from pathlib import Path; from tiny_pipeline import PIPELINE; "
        "from tfpwl.config import parse_config; "
        "from tfpwl import build; build(parse_config(PIPELINE), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__), "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], env=environment, check=True, capture_output=True
    )
    assert contents(Bundle.open(tmp_path / "out" / "bundle")) == contents(built.bundle)


def test_jax_trains_and_the_bundle_keeps_every_contract(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tiny_pipeline import PIPELINE; "
        "from tfpwl.config import parse_config; "
        "from tfpwl import build; import keras; build(parse_config(PIPELINE), Path(sys.argv[1])); "
        "assert keras.backend.backend() == 'jax'"
    )
    # XLA compiles twice as fast without most optimizations, and what it computes is the same to rounding.
    environment = {
        **os.environ, "PYTHONPATH": os.path.dirname(__file__), "KERAS_BACKEND": "jax",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    bundle = Bundle.open(tmp_path / "out" / "bundle")
    assert [check for check in verify(bundle) if not check.passed] == []
    report = BuildReport.from_json((tmp_path / "out" / "metrics.json").read_text())
    assert report.path[-1].accuracy == report.teacher_accuracy  # JAX' teacher and its files, which TensorFlow wrote


def test_the_baseline_is_the_same_student_by_plain_distillation(built, tiny_config, recorder, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    with_baseline = recorder()
    report = build(tiny_config("distill.baseline=true"), out, reporter=with_baseline).report
    assert with_baseline.ran == ["baseline"]
    assert 0 < report.kd_accuracy <= 1
    assert report.mixes == built.report.mixes


def test_a_gate_that_fails_is_reported(built, tiny_config, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    report = build(tiny_config("gates.min_student_accuracy=100", "gates.max_bundle_bytes=10000000"), out).report
    assert [gate.passed for gate in report.gates] == [True, False, True]
    assert "at least 100" in report.gates[1].message
    assert "min_student_accuracy" in (out / "report.md").read_text()


def test_until_stops_after_a_stage(built, tiny_config, recorder, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    stopped = recorder()
    result = build(tiny_config(), out, until="distill", reporter=stopped)
    assert stopped.cached == ["train", "distill"]
    assert result.bundle is None


def test_from_a_stage_behind_the_last_one_is_refused_and_removes_nothing(built, tiny_config, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    with pytest.raises(ConfigError, match="--from export, which comes after train"):
        build(tiny_config(), out, until="train", start="export")
    assert list(out.glob("stages/export-*"))


def test_an_unknown_stage_is_refused(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="Received stage 'distil'; expected one of train, condense, distill"):
        build(tiny_config(), tmp_path, until="distil")


def test_a_folder_that_cannot_be_written_is_a_clear_error(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TfpwlError, match=r"Stage train cannot write .*file.*another folder with -o"):
        build(tiny_config(), tmp_path / "file", until="train")


def test_an_artifact_that_was_damaged_is_named(built, tiny_config, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    (damaged,) = out.glob("stages/train-*/stage.json")
    damaged.write_text("{")
    with pytest.raises(TfpwlError, match=r"stage\.json cannot be read.*Remove its folder"):
        build(tiny_config(), out)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.widths=[4, 6, 6]", r"student: Received 3 widths .* and 2 depths"),
        ("student={widths: [4, 6, 6], depths: [1, 1, 1]}", "student has 3 groups and the teacher 2"),
        (
            "student.widths=[8, 6]",
            r"Boundary 0: the student has 8 channels and the teacher 6.*Lower the student's width",
        ),
        ("student={family: vgg, widths: [4, 6], depths: [1, 1]}", r"Boundary 0: .*\(4, 4, 4\).*\(8, 8, 6\)"),
        ("student={}", "it would equal the teacher"),
        ("student={patch: 2}", r"family 'resnet' has no parameter 'patch'; it takes widths, depths, stem"),
    ],
)
def test_a_student_that_does_not_fit_is_refused_before_the_teacher_is_trained(
    override, message, tiny_config, recorder, tmp_path
):
    watching = recorder()
    with pytest.raises(ModelError, match=message):
        build(tiny_config(override), tmp_path, reporter=watching)
    assert watching.progress == []


def test_the_command_line_exits_2_with_the_message_and_no_traceback(pipeline_text, tmp_path):
    (tmp_path / "p.yaml").write_text(pipeline_text.replace("student: {widths: [4, 6]", "student: {widths: [8, 6]"))
    command = [sys.executable, "-m", "tfpwl", "build", str(tmp_path / "p.yaml"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Boundary 0: the student has 8 channels and the teacher 6;")
    assert "Traceback" not in done.stderr


def student_kernel(artifacts):
    (path,) = artifacts["distill"].glob("g0.student.keras")
    return keras.saving.load_model(path).weights[0].numpy()


@pytest.mark.parametrize("start", ["wave", "random", "select", "prune"])
def test_a_student_can_start_from_something_else(built, tiny_config, recorder, tmp_path, start):
    out = shutil.copytree(built.output, tmp_path / "out")
    overrides = [f"student.init={start}", "student.widths=[3, 4]", "distill.epochs=1", "distill.learning_rate=1e-9"]
    if start == "wave":
        overrides.append("wave={condense: {epochs: 1}, scaler_steps: 3}")
    watched = recorder()
    result = build(tiny_config(*overrides), out, until="distill", reporter=watched)
    assert watched.ran == (["condense", "distill"] if start == "wave" else ["distill"])
    assert watched.cached == ["train"]
    fresh = build(tiny_config(*overrides[1:4]), out, until="distill")
    # With next to no learning rate the student is still what it started from.
    assert np.abs(student_kernel(result.artifacts) - student_kernel(fresh.artifacts)).max() > 0.01
