from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tfpwl.mix import Mix
from tfpwl.report import BuildReport, GateResult, MixRecord


def report_of(accuracy, *, tier=None, gate=True):
    mixes = (MixRecord(Mix("S"), 100, accuracy, 0.1), MixRecord(Mix("T"), 1000, 0.9, 1.0))
    return BuildReport(
        name="small", num_groups=1, order=(0,), mixes=mixes, tier=tier, gates=(GateResult("size", gate, "why"),)
    )


@pytest.fixture
def write(tmp_path):
    def _write(place, report):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(report.to_json())
        return folder

    return _write


@pytest.fixture
def runs(write):
    return write("a", report_of(0.8)), write("b", report_of(0.79))


def test_a_drop_within_the_limit_exits_0(tfpwl, runs):
    result = tfpwl("diff", *runs, "--max-drop", 1)
    assert result.code == 0
    assert "small → small" in result.out
    assert "-1.00 points" in result.out
    assert result.err == ""


def test_a_drop_beyond_the_limit_exits_1_and_says_which(tfpwl, runs):
    result = tfpwl("diff", *runs, "--max-drop", 0.5)
    assert result.code == 1
    assert "not met: -0.5 points" in result.out
    assert "Worse than allowed: small, S: accuracy went from 80.00 % to 79.00 %, -1.00 points" in result.err


def test_without_limits_it_only_shows(tfpwl, runs):
    assert tfpwl("diff", *runs).code == 0


@pytest.mark.parametrize(
    ("option", "change"),
    [("--max-bytes-growth", {"bytes": 106}), ("--max-latency-growth", {"latency_ms": 0.106})],
)
def test_bytes_and_time_have_limits_in_per_cent(tfpwl, write, option, change):
    before = report_of(0.8)
    after = replace(before, mixes=(replace(before.mixes[0], **change), before.mixes[1]))
    runs = write("before", before), write("after", after)
    assert tfpwl("diff", *runs, option, 6).code == 0
    assert tfpwl("diff", *runs, option, 5).code == 1


def test_json_and_markdown_have_the_figures(tfpwl, runs, tmp_path):
    result = tfpwl("diff", *runs, "--max-drop", 0.5, "--json", "--markdown", tmp_path / "diff.md")
    (found,) = json.loads(result.out)
    assert not found["passed"]
    assert [one["loss"] for one in found["growths"] if one["what"] == "S" and one["quantity"] == "accuracy"] == [1.0]
    assert "| S | accuracy | 80.00 % | 79.00 % | -1.00 points | not met: -0.5 points |" in (
        (tmp_path / "diff.md").read_text()
    )


def test_tiers_are_compared_one_by_one(tfpwl, write, tmp_path):
    for run, accuracy in (("old", 0.8), ("new", 0.7)):
        write(f"{run}/reports/low", report_of(accuracy, tier="low"))
        write(f"{run}/reports/high", report_of(0.8, tier="high"))
    result = tfpwl("diff", tmp_path / "old", tmp_path / "new", "--max-drop", 0.5)
    assert result.code == 1
    assert "Worse than allowed: small, low, S:" in result.err
    assert "small, high → small, high" in result.out


def test_a_gate_that_fails_now_is_noted(tfpwl, write):
    runs = write("a", report_of(0.8)), write("b", report_of(0.8, gate=False))
    result = tfpwl("diff", *runs, "--max-drop", 0)
    assert result.code == 0  # `tfpwl build` has failed for it
    assert "Note: the gate size held in small and fails in small." in result.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no report in"),
        ("{", "The metrics are not JSON"),
        ('{"format": "tfpwl-metrics", "version": 9}', "expected 'tfpwl-metrics', version 1 or 2"),
    ],
)
def test_bad_input_exits_2(tfpwl, runs, tmp_path, content, message):
    bad = tmp_path / "bad"
    bad.mkdir()
    if content is not None:
        (bad / "metrics.json").write_text(content)
    for command in (("diff", runs[0], bad), ("diff", bad, runs[0]), ("report", bad, "-o", tmp_path / "r.html")):
        result = tfpwl(*command)
        assert result.code == 2
        assert message in result.err
    assert not (tmp_path / "r.html").exists()


def test_a_wrong_limit_exits_2(tfpwl, runs):
    result = tfpwl("diff", *runs, "--max-drop", "-1")
    assert result.code == 2
    assert "-1.0 is not in the range x>=0" in result.err


def test_report_draws_one_page_of_all_runs(tfpwl, runs, tmp_path):
    result = tfpwl("report", *runs, "-o", tmp_path / "all.html", "--junit", tmp_path / "all.xml", "--title", "Both")
    assert result.code == 0
    assert result.out == f"2 runs: {tmp_path / 'all.html'}\n"
    page = (tmp_path / "all.html").read_text()
    assert "<title>Both" in page
    assert "small #2" in page
    assert ElementTree.parse(tmp_path / "all.xml").getroot().get("tests") == "2"


def test_report_that_cannot_be_written_exits_2(tfpwl, runs, tmp_path):
    result = tfpwl("report", runs[0], "-o", tmp_path / "nowhere" / "r.html")
    assert result.code == 2
    assert "nowhere" in result.err
