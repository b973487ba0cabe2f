from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tfpwl.cli import evaluate as module
from tfpwl.mix import Mix
from tfpwl.report import BuildReport, GateResult, MixRecord


@pytest.fixture
def asked(monkeypatch, request):
    """Stands in for the build, which takes minutes; holds what it was asked for."""
    gates = (GateResult("max_step_loss", request.param, "the worst step loses 1.0 points"),)
    mixes = (MixRecord(Mix("S"), 100, 0.8), MixRecord(Mix("T"), 900, 0.9))
    report = BuildReport(name="demo", num_groups=1, order=(0,), mixes=mixes, gates=gates)
    calls = []

    def run_pipeline(*arguments):
        calls.append(arguments)
        return SimpleNamespace(report=report)

    monkeypatch.setattr(module, "run_pipeline", run_pipeline)
    return calls


@pytest.mark.parametrize("asked", [True], indirect=True)
def test_runs_the_pipeline_to_its_last_stage_and_prints_the_mixes(tfpwl, asked, tmp_path):
    result = tfpwl("evaluate", tmp_path / "my.yaml", "--set", "seed=1", "--from", "evaluate", "-o", tmp_path / "out")
    assert result.code == 0
    assert asked == [(tmp_path / "my.yaml", tmp_path / "out", ("seed=1",), "evaluate", "evaluate")]
    assert "demo: 2 mixes" in result.out


@pytest.mark.parametrize("asked", [False], indirect=True)
def test_gate_that_fails_exits_1_and_leaves_stdout_to_the_json(tfpwl, asked, tmp_path):
    result = tfpwl("evaluate", tmp_path / "my.yaml", "--json")
    assert result.code == 1
    assert json.loads(result.out)["name"] == "demo"
    assert result.err == "Gate failed: max_step_loss: the worst step loses 1.0 points\n"
