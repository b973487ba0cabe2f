from __future__ import annotations

from dataclasses import replace

import pytest

from tfpwl.errors import DataError
from tfpwl.mix import Mix
from tfpwl.report import GateResult, GroupSizes, MixRecord, compare_reports
from tfpwl.report.comparison import comparison_sheet, failures, pair_reports


def changed(report, mix, **changes):
    """The report with another figure of one mix."""
    return replace(report, mixes=tuple(replace(r, **changes) if r.mix == mix else r for r in report.mixes))


def test_a_run_compared_with_itself_is_within_limits_of_nothing(report):
    same = compare_reports(report, report, max_drop=0, max_bytes_growth=0, max_latency_growth=0)
    assert same.passed
    assert {growth.what for growth in same.growths} == {"SS", "ST", "TT"}
    assert all(growth.loss == 0 for growth in same.growths)


@pytest.mark.parametrize(
    ("limit", "change", "exactly", "beyond"),
    [
        ("max_drop", "accuracy", 0.785, 0.7849),  # from 0.79, half a point
        ("max_bytes_growth", "bytes", 20_100, 20_101),  # from 20,000, half a per cent
        ("max_latency_growth", "latency_ms", 0.402, 0.4021),  # from 0.4, half a per cent
    ],
)
def test_a_limit_holds_up_to_its_value_on_every_mix_of_the_path(report, limit, change, exactly, beyond):
    assert compare_reports(report, changed(report, "ST", **{change: exactly}), **{limit: 0.5}).passed
    worse = compare_reports(report, changed(report, "ST", **{change: beyond}), **{limit: 0.5})
    assert not worse.passed
    assert [growth.what for growth in worse.growths if not growth.passed] == ["ST"]


def test_mixes_off_the_path_and_gains_do_not_count(report):
    better = changed(changed(report, "TS", accuracy=0.1), "SS", accuracy=0.99, bytes=1, latency_ms=0.01)
    assert compare_reports(report, better, max_drop=0, max_bytes_growth=0, max_latency_growth=0).passed


def test_without_limits_everything_passes(report):
    assert compare_reports(report, changed(report, "TT", accuracy=0.0)).passed


def test_the_whole_bundle_is_compared_where_its_size_is_known(report):
    small, large = (replace(report, groups=(GroupSizes(1, size),)) for size in (99, 199))
    found = compare_reports(small, large, max_bytes_growth=50)
    assert [(growth.what, growth.loss) for growth in found.growths if not growth.passed] == [("bundle", 100.0)]


def test_a_gate_that_fails_now_is_named(report):
    before = replace(report, gates=(GateResult("size", True, ""), GateResult("old", False, "")))
    after = replace(report, gates=(GateResult("size", False, ""), GateResult("old", False, "")))
    assert compare_reports(before, after).newly_failed == ("size",)


def test_runs_with_other_paths_cannot_be_compared(report):
    with pytest.raises(DataError, match=r"tiny loads its groups in the order \[1, 0\], tiny in \[0, 1\]"):
        compare_reports(report, replace(report, order=(0, 1)))


@pytest.mark.parametrize(("before", "after"), [(None, 0.4), (0.4, None)])
def test_a_limit_that_cannot_be_checked_is_an_error_and_not_a_pass(report, before, after):
    runs = changed(report, "ST", latency_ms=before), changed(report, "ST", latency_ms=after)
    with pytest.raises(DataError, match="has no latency of ST, so its limit cannot be checked"):
        compare_reports(*runs, max_latency_growth=10)
    assert compare_reports(*runs, max_drop=1).passed


def test_table_and_sentences_show_both_figures_and_the_limit(report):
    found = compare_reports(report, changed(report, "ST", accuracy=0.7), max_drop=0.5)
    rows = {row[:2]: row[2:] for row in comparison_sheet(found).rows}
    assert rows["ST", "accuracy"] == ("79.00 %", "70.00 %", "-9.00 points", "not met: -0.5 points")
    assert rows["TT", "accuracy"] == ("91.50 %", "91.50 %", "+0.00 points", "-0.5 points")
    assert rows["ST", "bytes"] == ("20.0 kB", "20.0 kB", "+0.0 %", "")
    assert failures(found) == ["ST: accuracy went from 79.00 % to 70.00 %, -9.00 points; allowed -0.5 points"]


def test_tiers_are_compared_with_their_like(report):
    low, high, new = (replace(report, tier=tier) for tier in ("low", "high", "new"))
    assert pair_reports([low, high], [new, high, low]) == [(low, low), (high, high)]
    assert pair_reports([report], [low]) == [(report, low)]
    with pytest.raises(DataError, match="nothing to compare tiny, high with; the other run has the tiers low, new"):
        pair_reports([low, high], [low, new])


def test_folders_of_several_runs_are_not_tiers_to_be_compared(report):
    with pytest.raises(DataError, match=r"expected the tiers of one build\. Name single runs instead"):
        pair_reports([report, report], [report, report])


@pytest.mark.parametrize("lacks", ["before", "after"])
def test_a_bundle_whose_size_only_one_run_knows_cannot_keep_a_limit(report, lacks):
    runs = dict.fromkeys(("before", "after"), replace(report, groups=(GroupSizes(1, 99),)))
    runs[lacks] = replace(report, groups=())
    with pytest.raises(
        DataError, match=r"has no bytes of its bundle, so their limit cannot be checked\. Build it again"
    ):
        compare_reports(runs["before"], runs["after"], max_bytes_growth=5)
    assert compare_reports(runs["before"], runs["after"], max_drop=1).passed


def test_a_mix_of_no_bytes_has_no_growth(report):
    empty = replace(report, mixes=(MixRecord(Mix("SS"), 0, 0.8, 0.2), *report.mixes[1:]))
    with pytest.raises(DataError, match="has no bytes of SS"):
        compare_reports(empty, report, max_bytes_growth=1)
