"""Limits of a tier: what is over, and which measured configuration would keep them."""

from dataclasses import replace

import pytest

from tfpwl.config import LimitsConfig
from tfpwl.mix import Mix, path
from tfpwl.pipeline.limits import Cost, check_limits, upgrade_bytes
from tfpwl.runtime.footprint import loaded_bytes

HIGH = Cost("high", "fp32", "TT", 1000, 4000, 10.0, 0.95, 0.96)
HALF = replace(HIGH, mix="ST", resident_bytes=2000, latency_ms=6.0, accuracy=0.92)
SMALL = replace(HIGH, rung="int8-qat", bundle_bytes=300, resident_bytes=1500, latency_ms=4.0, accuracy=0.93)
LOW = Cost("low", "w8", "TT", 200, 900, 3.0, 0.90, 0.96)
SECTIONS = {"high": {}, "low": {"prune": {"side": "teacher"}, "quantize": {"ladder": ["w8"]}}}


def check(chosen=HIGH, measured=(HIGH, HALF, SMALL, LOW), **limits):
    return check_limits(LimitsConfig(**limits), chosen, measured, SECTIONS)


def test_limits_that_are_kept_pass_and_say_by_how_much():
    gates = check(bundle_bytes=1000, resident_bytes=4000, latency_ms=10, max_drop=1)
    assert [gate.passed for gate in gates] == [True] * 4
    assert [gate.name for gate in gates] == [
        "limits.bundle_bytes", "limits.resident_bytes", "limits.latency_ms", "limits.max_drop"
    ]  # fmt: skip
    assert gates[0].message == "1,000 bytes; at most 1,000 bytes allowed"
    assert gates[3].message == "1.00 points below the teacher; at most 1.00 points below the teacher allowed"


def test_limits_that_are_not_set_are_not_checked():
    assert check() == ()


def test_the_nearest_is_the_most_accurate_that_keeps_every_limit():
    (gate,) = check(bundle_bytes=500)
    assert not gate.passed
    assert (
        "1,000 bytes; at most 500 bytes allowed. The nearest that keeps every limit: high as int8-qat" in gate.message
    )
    assert gate.message.endswith("To get there, set `tiers.high.quantize.ladder: [int8]`.")


def test_another_tiers_sections_are_named():
    message = check(bundle_bytes=250)[0].message
    assert "low as w8, upgrades up to TT (200 bytes, 900 resident, 3 ms, 90.00 %)" in message
    assert "give tier high what tier low sets (`prune`, `quantize`)" in message


def test_a_shorter_path_is_named_with_the_budget_that_keeps_to_it():
    message = check(measured=(HIGH, HALF), resident_bytes=3000)[0].message
    assert "stop upgrades at ST (in the app: `budget_bytes=2000` or `until='ST'`)" in message


def test_where_nothing_keeps_them_the_nearest_and_what_it_misses_are_named():
    bytes_gate, latency_gate = check(bundle_bytes=180, latency_ms=2.0)
    assert "None of the 4 configurations that were measured keeps every limit; the nearest: low as w8" in (
        bytes_gate.message
    )
    assert "; 200 bytes against 180 bytes, 3 ms against 2 ms. Prune more" in bytes_gate.message
    assert latency_gate.message == "10 ms; at most 2 ms allowed"


def test_a_limit_of_no_points_can_be_kept():
    (gate,) = check(chosen=replace(HIGH, accuracy=0.96), max_drop=0)
    assert gate.passed
    assert not check(max_drop=0)[0].passed


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_swap_has_old_and_new_files_in_memory(tiny_files, order):
    mixes = path(order)
    most = upgrade_bytes(tiny_files, mixes)
    student = [stem for stem in tiny_files if stem.endswith(".student")]
    assert most[mixes[0]] == sum(loaded_bytes(tiny_files[stem]) for stem in student)
    assert sorted(most.values()) == [most[mix] for mix in mixes]
    # By hand, the first swap: everything of the student, the teacher's group and the converters beside it.
    first = order[0]
    added = [f"g{first}.teacher", f"b{first}.encoder", f"b{first - 1}.decoder"]
    more = sum(loaded_bytes(tiny_files[stem]) for stem in added if stem in tiny_files)
    assert most[mixes[1]] == most[mixes[0]] + more
    assert most[Mix.all_teacher(3)] >= sum(loaded_bytes(tiny_files[f"g{i}.teacher"]) for i in range(3))
