"""Tiers of one pipeline: shared stages run once, each has its bundle, and limits decide over the exit code."""

import json
import shutil
import subprocess
import sys

import pytest
from tiny_pipeline import PIPELINE, Recorder

from tfpwl.bundle import Bundle, verify
from tfpwl.config import parse_config
from tfpwl.errors import ConfigError
from tfpwl.pipeline import build_tiers
from tfpwl.runtime.tiers import open_tier, read_tiers

TIERS = """
tiers:
  low:
    limits: {bundle_bytes: 100000, max_drop: 100}
    prune: {side: teacher, target: {flops: 0.3}, steps: 1, epochs_per_step: 1, round_to: 1}
    quantize: {ladder: [fp16, w8], select: smallest, gate: {max_drop: 100}}
    runtime: {threads: 2}
    requires: {abis: [arm64-v8a]}
  mid:
    quantize: {ladder: [fp16], gate: {max_drop: 100}}
  high: {}
"""


@pytest.fixture(scope="session")
def tiers_text():
    return PIPELINE + TIERS


@pytest.fixture(scope="session")
def tiers(tiers_text, tmp_path_factory):
    """One finished build of all tiers, which tests look at and do not change, and what its reporter heard."""
    recorder = Recorder()
    return build_tiers(parse_config(tiers_text), tmp_path_factory.mktemp("tiers") / "out", reporter=recorder), recorder


@pytest.mark.slow
def test_what_tiers_share_runs_once(tiers):
    _, recorder = tiers
    assert recorder.ran == [
        "low train", "low distill", "low prune", "low export", "low quantize", "low evaluate",
        "mid export", "mid quantize", "mid evaluate",
        "high evaluate",
    ]  # fmt: skip
    assert recorder.cached == ["mid train", "mid distill", "high train", "high distill", "high export"]


@pytest.mark.slow
def test_each_tier_has_a_bundle_that_keeps_every_contract_and_is_its_own(tiers):
    result, _ = tiers
    for name, tier in result.tiers.items():
        assert tier.bundle.root == result.output / "bundles" / name
        assert [check for check in verify(Bundle.open(tier.bundle.root)) if not check.passed] == []
        assert (tier.bundle.manifest.tier, tier.report.tier) == (name, name)
        assert (result.output / "reports" / name / "report.md").read_text().startswith("# tiny")
    low, mid, high = result.tiers.values()
    assert (low.bundle.manifest.precision, low.bundle.manifest.runtime.threads) == ("w8", 2)
    assert (mid.bundle.manifest.precision, mid.bundle.manifest.runtime.threads) == ("fp16", 1)
    assert high.bundle.manifest.precision == "fp32"
    sizes = [record.bundle_bytes for record in result.records]
    assert sizes == sorted(sizes)
    assert all(record.teacher_ms > 0 for record in result.records)


@pytest.mark.slow
def test_a_device_can_choose_by_what_was_written(tiers):
    result, _ = tiers
    chosen = read_tiers(result.output)
    assert (chosen.order, chosen.fallback) == (("high", "mid", "low"), "low")
    assert chosen["low"].requires.abis == ("arm64-v8a",)
    assert chosen["low"].requires.cores == 2  # as many as threads
    assert chosen["high"].requires.performance_class == 33  # of the default tier of that name
    for tier in chosen.tiers:
        assert open_tier(result.output, tier).manifest.tier == tier.name
    assert "| low " in (result.output / "tiers.md").read_text()
    assert 'testsuite name="tiny, low"' in (result.output / "junit.xml").read_text()


@pytest.mark.slow
def test_nothing_runs_when_nothing_changed_and_a_change_runs_what_it_touches(tiers, tiers_text, recorder, tmp_path):
    result, _ = tiers
    out = shutil.copytree(result.output, tmp_path / "out")
    again = recorder()
    before = (out / "tiers.md").read_text()
    build_tiers(parse_config(tiers_text), out, reporter=again)
    assert again.ran == []
    assert (out / "tiers.md").read_text() == before  # the times, too, are those that were measured
    smaller = recorder()
    build_tiers(parse_config(tiers_text, overrides=["tiers.mid.quantize.ladder=[w8]"]), out, reporter=smaller)
    assert smaller.ran == ["mid quantize", "mid evaluate"]
    other_limit = recorder()
    build_tiers(parse_config(tiers_text, overrides=["tiers.low.limits.bundle_bytes=200000"]), out, reporter=other_limit)
    assert other_limit.ran == []
    forced = recorder()
    build_tiers(parse_config(tiers_text), out, start="export", reporter=forced)
    # The files that mid and high share are made again once.
    assert forced.ran == [
        "low export", "low quantize", "low evaluate", "mid export", "mid quantize", "mid evaluate", "high evaluate",
    ]  # fmt: skip
    compared = out.glob("stages/compare-*/*.json")
    measured = {file: file.stat().st_mtime_ns for file in compared}
    build_tiers(parse_config(tiers_text), out, start="evaluate", reporter=recorder())
    assert any(file.stat().st_mtime_ns != then for file, then in measured.items())  # the tiers' times, too


@pytest.mark.slow
def test_one_tier_alone_leaves_the_others_choosable_as_long_as_they_are_of_this_pipeline(tiers, tiers_text, tmp_path):
    result, _ = tiers
    out = shutil.copytree(result.output, tmp_path / "out")
    alone = build_tiers(parse_config(tiers_text), out, tiers=["mid"])
    assert (list(alone.tiers), read_tiers(out).order) == (["mid"], ("high", "mid", "low"))
    # The page shows what devices choose from; JUnit judges what was built.
    assert all(f"tiny, {name}" in (out / "report.html").read_text() for name in ("low", "mid", "high"))
    assert [name in (out / "junit.xml").read_text() for name in ("tiny, low", "tiny, mid")] == [False, True]
    (out / "metrics.json").write_text("{}")  # of a build without tiers
    other_order = build_tiers(parse_config(tiers_text), out, tiers=["high", "low"])
    assert list(other_order.tiers) == ["low", "high"]
    assert not (out / "metrics.json").exists()
    changed = parse_config(tiers_text, overrides=["tiers.low.prune.target={flops: 0.2}"])
    build_tiers(changed, out, tiers=["mid"])
    assert read_tiers(out).order == ("high", "mid")


@pytest.mark.slow
def test_a_limit_that_cannot_be_met_exits_1_and_names_what_would_meet_it(tiers, tiers_text, tmp_path):
    result, _ = tiers
    out = shutil.copytree(result.output, tmp_path / "out")
    (tmp_path / "p.yaml").write_text(tiers_text)
    low, _, high = (record.bundle_bytes for record in result.records)
    command = [sys.executable, "-m", "tfpwl", "build", str(tmp_path / "p.yaml"), "-o", str(out)]
    command += ["--set", f"tiers.high.limits.bundle_bytes={low}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert (
        f"Gate failed of tier high: limits.bundle_bytes: {high:,} bytes; at most {low:,} bytes allowed" in done.stderr
    )
    assert "The nearest that keeps every limit: low as w8" in done.stderr
    assert "give tier high what tier low sets (`prune`, `quantize`, `runtime`)" in done.stderr
    assert "<failure" in (out / "reports" / "high" / "junit.xml").read_text()
    gates = json.loads((out / "reports" / "high" / "metrics.json").read_text())["gates"]
    assert [gate["name"] for gate in gates if not gate["passed"]] == ["limits.bundle_bytes"]
    assert read_tiers(out).order == ("high", "mid", "low")


def test_a_tier_that_is_not_there_is_refused_with_those_that_are(tiers_text, tmp_path):
    with pytest.raises(ConfigError, match="Received tier 'hihg' for the pipeline tiny; it has low, mid, high"):
        build_tiers(parse_config(tiers_text), tmp_path, tiers=["low", "hihg"])
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_without_tiers_says_how_to_get_some(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="has no `tiers:`; `tiers: default` gives it low, mid and high"):
        build_tiers(tiny_config(), tmp_path)
