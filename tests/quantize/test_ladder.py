from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.mix import path
from tfpwl.quantize import Rung, choose

PATH = path((0, 1))


def rung(precision, accuracy, ms, size, method="calibration"):
    """A rung whose three mixes have ``accuracy`` (a fraction or three) and whose teacher answers in ``ms``."""
    fractions = accuracy if isinstance(accuracy, tuple) else (accuracy,) * 3
    return Rung(
        precision, method, size, dict(zip(PATH, fractions, strict=True)),
        dict(zip(PATH, (0.1, 0.2, ms), strict=True)), dict.fromkeys(PATH, 9.0),
    )  # fmt: skip


FP32 = rung("fp32", 0.9, 1.0, 1000, "export")
FP16 = rung("fp16", 0.9, 1.01, 500, "weights")
INT8 = rung("int8", (0.9, 0.895, 0.89), 0.3, 280)


def test_the_fastest_that_keeps_the_limit_is_taken_and_the_reason_says_so():
    choice = choose([FP32, FP16, INT8], FP32, PATH, max_drop=1.0)
    assert (choice.rung, choice.passed) == (INT8, True)
    assert choice.reason == (
        "int8 is the fastest of the rungs (fp32, fp16, int8) that lose at most 1 points on every mix of the path; it "
        "loses 1.00 points at most, on TT, answers with TT in 0.3 ms (fp32: 1 ms) and takes 0.28 of the bytes."
    )


def test_one_mix_of_the_path_that_loses_more_is_enough_to_fail():
    choice = choose([FP32, FP16, INT8], FP32, PATH, max_drop=0.9)
    assert choice.rung is FP32  # fp16 is measured slower


def test_the_smallest_of_rungs_that_are_equally_fast():
    faster = rung("fp16", 0.9, 0.99, 500, "weights")
    slower = rung("w8", 0.9, 0.97, 700, "weights")
    assert choose([FP32, faster, slower], FP32, PATH, max_drop=1.0).rung is faster
    assert choose([FP32, FP16, INT8], FP32, PATH, max_drop=1.0, select="smallest").rung is INT8


def test_nothing_passes_names_the_best():
    bad, worse = rung("int8", 0.80, 0.3, 280), rung("w8", 0.5, 0.2, 270)
    choice = choose([worse, bad], FP32, PATH, max_drop=1.0)
    assert (choice.rung, choice.passed) == (bad, False)
    assert choice.reason == (
        "None of w8, int8 keeps within 1 points of fp32 on every mix of the path; "
        "int8 comes closest and loses 10.00 on SS."
    )


def test_names_tell_the_ways_to_int8_apart():
    assert [rung("int8", 0.9, 1, 1, method).name for method in ("calibration", "equalized", "qat")] == [
        "int8", "int8-equalized", "int8-qat",
    ]  # fmt: skip


accuracies = st.tuples(*[st.integers(0, 100).map(lambda n: n / 100)] * 3)
rungs = st.lists(
    st.tuples(st.sampled_from(["fp16", "w8", "int8"]), accuracies, st.floats(0.01, 10), st.integers(1, 10**6)),
    max_size=3, unique_by=lambda one: one[0],
).map(lambda many: [rung(*one) for one in many])  # fmt: skip


@given(rungs, st.floats(0, 100), st.sampled_from(["fastest", "smallest"]))
def test_with_fp32_on_the_ladder_something_passes_and_is_never_slower(others, max_drop, select):
    choice = choose([FP32, *others], FP32, PATH, max_drop=max_drop, select=select)
    assert choice.passed
    assert choice.rung.worst_drop(FP32, PATH)[0] <= max_drop
    if select == "fastest":
        assert choice.rung.latency_ms[PATH[-1]] <= FP32.latency_ms[PATH[-1]]
    else:
        assert choice.rung.bytes <= FP32.bytes


def test_a_drop_is_a_difference_of_counts():
    reference, found = rung("fp32", 0.915, 1, 1), rung("int8", 0.905, 1, 1)
    assert found.worst_drop(reference, PATH)[0] == pytest.approx(1.0, abs=0)
