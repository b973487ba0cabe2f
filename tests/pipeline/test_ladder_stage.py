"""The stage ``quantize`` in a whole build: rungs, choice, manifest, report, gate."""

from __future__ import annotations

import json
import shutil

import pytest

from tfpwl.bundle import Bundle, verify
from tfpwl.errors import ConfigError
from tfpwl.pipeline import build
from tfpwl.report import BuildReport

pytestmark = pytest.mark.slow


@pytest.fixture
def continued(built, tmp_path):
    """The folder of a finished fp32 build, to go on from."""
    shutil.copytree(built.output, tmp_path / "out")
    return tmp_path / "out"


def test_a_ladder_needs_no_training_and_tells_what_it_chose(continued, tiny_config, recorder):
    heard = recorder()
    config = tiny_config("quantize={calibration: {samples: 40}, gate: {max_drop: 100}, select: smallest}")
    result = build(config, continued, reporter=heard)
    assert heard.cached == ["train", "distill", "export"]
    assert heard.ran == ["quantize", "evaluate"]
    report = BuildReport.from_json((continued / "metrics.json").read_text())
    assert [rung.name for rung in report.rungs] == ["fp32", "fp16", "w8", "int8"]
    (chosen,) = [rung for rung in report.rungs if rung.chosen]
    assert chosen.bytes == min(rung.bytes for rung in report.rungs)
    assert report.precision == chosen.precision == result.bundle.manifest.precision
    assert {str(r.mix): r.accuracy for r in report.mixes} == dict(chosen.accuracy)
    assert all(len(rung.latency_p90_ms) == 4 and len(rung.boundaries) == 2 for rung in report.rungs)
    (integer,) = [rung for rung in report.rungs if rung.name == "int8"]
    assert integer.teacher_difference == 0.0
    stored = result.bundle.manifest.quantization
    assert (stored.chosen, stored.reason) == (chosen.precision, report.choice)
    assert [rung.precision for rung in stored.rungs] == ["fp32", "fp16", "w8", "int8"]
    text = (continued / "report.md").read_text()
    assert "## Precision ladder" in text
    assert "Features at the boundaries" in text
    assert all(check.passed for check in verify(result.bundle))
    kept = {path.name for path in result.artifacts["quantize"].iterdir()}
    assert kept == {"fp32", "fp16", "w8", "int8", "stage.json"}


def test_one_precision_gives_a_bundle_of_that_precision(continued, tiny_config):
    result = build(tiny_config("quantize={ladder: int8, gate: {max_drop: 100}}"), continued)
    assert result.bundle.manifest.precision == "int8"
    assert {one.student.dtype for one in result.bundle.manifest.boundaries} == {"int8"}
    assert [(rung.name, rung.on_ladder) for rung in result.report.rungs] == [("fp32", False), ("int8", True)]
    assert [rung.precision for rung in result.bundle.manifest.quantization.rungs] == ["int8"]


def test_a_gate_that_nothing_passes_names_the_best_rung_and_leaves_whole_things(continued, tiny_config, monkeypatch):
    # A pair that has learnt so little may win by rounding; the limit is put where no rung can be.
    monkeypatch.setattr("tfpwl.quantize.ladder.Rung.worst_drop", lambda self, *_: (7.5, "TT"))
    result = build(tiny_config("quantize={ladder: [fp16, w8]}"), continued)
    (gate,) = [gate for gate in result.report.gates if gate.name == "quantize.max_drop"]
    assert not gate.passed
    assert not result.report.passed
    assert gate.message == "fp16 loses 7.50 points on TT, the least of all rungs; at most 1 allowed"
    assert "fp16 comes closest and loses 7.50 on TT" in result.report.choice
    assert Bundle.open(continued / "bundle").manifest.precision == "fp16"
    assert not [path for path in (continued / "stages").iterdir() if path.name.endswith(".partial")]


def test_without_a_ladder_nothing_changes(built):
    manifest = json.loads((built.output / "bundle" / "manifest.json").read_text())
    assert "quantization" not in manifest
    assert "quantize" not in built.artifacts
    assert built.report.rungs == ()


def test_a_stage_that_the_pipeline_has_not_is_named(continued, tiny_config):
    with pytest.raises(ConfigError, match="stage 'quantize'; this pipeline has train, distill, export, evaluate"):
        build(tiny_config(), continued, until="quantize")
