"""The stage `prune`: sizes go down step by step, boundaries keep meeting, and an interrupted run ends the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_pipeline import PIPELINE

from tfpwl.bundle import verify
from tfpwl.config import parse_config
from tfpwl.errors import ModelError
from tfpwl.pairs import load_pair
from tfpwl.pipeline import build
from tfpwl.report import BuildReport

# Widths are tiny, so channel counts are not rounded.
PRUNE = "prune={target: {flops: 0.4}, steps: 2, epochs_per_step: 1, side: both, round_to: 1}"


@pytest.fixture(scope="module")
def pruned(built, tmp_path_factory):
    out = shutil.copytree(built.output, tmp_path_factory.mktemp("pruned") / "out")
    return build(parse_config(PIPELINE, overrides=[PRUNE]), out)


@pytest.mark.slow
def test_both_sides_shrink_to_the_target_and_meet(pruned, built) -> None:
    assert [check for check in verify(pruned.bundle) if not check.passed] == []
    steps = pruned.report.pruning
    assert [(one.side, one.step) for one in steps] == [(side, n) for n in range(3) for side in ("student", "teacher")]
    for side in ("student", "teacher"):
        flops = [one.flops for one in steps if one.side == side]
        assert flops[0] > flops[1] > flops[2]
        assert flops[2] <= 0.6 * flops[0]
    assert pruned.report.student_params < built.report.student_params
    assert pruned.report.teacher_params < built.report.teacher_params
    whole, smaller = (load_pair(one.artifacts[stage]) for one, stage in ((built, "distill"), (pruned, "prune")))
    assert [b.teacher[:-1] for b in smaller.boundaries] == [b.teacher[:-1] for b in whole.boundaries]
    assert pruned.report.path[-1].accuracy == pruned.report.teacher_accuracy
    assert pruned.report.teacher_difference <= 1e-5  # contract 4 at fp32


@pytest.mark.slow
def test_the_report_shows_every_step(pruned) -> None:
    assert BuildReport.from_json((pruned.output / "metrics.json").read_text()) == pruned.report
    text = (pruned.output / "report.md").read_text()
    assert "| side, step | MFLOPs | left | parameters | left | validation | test |" in text
    assert f"| student, 2 | {pruned.report.pruning[-2].flops / 1e6:.3f} |" in text


@pytest.mark.slow
def test_an_interrupted_stage_goes_on_and_ends_the_same(pruned, built, recorder, tiny_config, tmp_path) -> None:
    out = shutil.copytree(built.output, tmp_path / "out")
    config = tiny_config(PRUNE)
    # 5 steps an epoch; 20 in all: behind the teacher's fit in the second step of pruning, in the pair's.
    with pytest.raises(KeyboardInterrupt):
        build(config, out, until="prune", reporter=recorder(lambda stage, done: stage == "prune" and done > 15))
    resumed = recorder()
    again = build(config, out, until="prune", reporter=resumed)
    assert resumed.ran == ["prune"]
    one, other = (load_pair(result.artifacts["prune"]) for result in (pruned, again))
    for side in ("student", "teacher", "encoders", "decoders"):
        for a, b in zip(getattr(one, side), getattr(other, side), strict=True):
            for first, second in zip(a.get_weights(), b.get_weights(), strict=True):
                np.testing.assert_array_equal(first, second)
    assert [path.name for path in again.artifacts["prune"].iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_a_target_of_bytes_is_measured_on_the_files(built, tiny_config, tmp_path) -> None:
    out = shutil.copytree(built.output, tmp_path / "out")
    wanted = "prune={target: {bytes: 0.3}, steps: 1, side: student, round_to: 1, importance: taylor}"
    report = build(tiny_config(wanted), out, until="export")
    steps = report.metrics["prune"]["steps"]
    assert {one["side"] for one in steps} == {"student"}
    assert steps[1]["params"] < steps[0]["params"]
    # The teacher is the same artifact's, to the byte.
    before, after = (load_pair(report.artifacts[stage]) for stage in ("distill", "prune"))
    for a, b in zip(before.teacher, after.teacher, strict=True):
        for first, second in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(first, second)


def test_a_target_that_cannot_be_reached_is_refused_before_any_training(
    built, tiny_config, recorder, tmp_path: Path
) -> None:
    out = shutil.copytree(built.output, tmp_path / "out")
    watching = recorder()
    # Channel counts rounded to 8, and no layer has more.
    with pytest.raises(ModelError, match="cannot be"):
        build(tiny_config("prune={target: {flops: 0.9}, steps: 2}"), out, until="prune", reporter=watching)
    assert [stage for stage, _, _ in watching.progress if stage == "prune"] == []


def test_a_pipeline_without_pruning_has_no_such_key(built) -> None:
    assert built.report.pruning == ()
    assert json.loads((built.output / "metrics.json").read_text())["pruning"] == []
