from dataclasses import replace

import pytest

from tfpwl.config import GatesConfig
from tfpwl.mix import Mix
from tfpwl.pipeline.gates import check_gates
from tfpwl.report import BuildReport, MixRecord


def report(*accuracies):
    mixes = ("SS", "TS", "TT")
    records = tuple(MixRecord(Mix(mix), 10, accuracy) for mix, accuracy in zip(mixes, accuracies, strict=True))
    return BuildReport(name="r", num_groups=2, order=(0, 1), mixes=records)


@pytest.mark.parametrize(
    ("gate", "passes", "fails"),
    [
        ("min_student_accuracy", 88.5, 88.51),
        ("min_teacher_accuracy", 92.0, 92.01),
        ("max_student_drop", 3.5, 3.49),
        ("max_step_loss", 0.3, 0.29),
        ("max_bundle_bytes", 1000, 999),
    ],
)
def test_a_gate_holds_up_to_its_limit(gate, passes, fails):
    measured = report(0.885, 0.882, 0.92)
    for limit, expected in ((passes, True), (fails, False)):
        (result,) = check_gates(GatesConfig(**{gate: limit}), measured, bundle_bytes=1000)
        assert (result.name, result.passed) == (gate, expected)


def test_only_gates_that_were_set_are_checked():
    assert check_gates(GatesConfig(), report(0.1, 0.2, 0.3), 10) == ()


def test_the_worst_step_is_named():
    (result,) = check_gates(GatesConfig(max_step_loss=1.0), report(0.9, 0.85, 0.95), 10)
    assert result.message == "the worst step, to TS, loses 5.00 points; at most 1.0 allowed"


@pytest.mark.parametrize(("difference", "passed"), [(0.0, True), (1e-5, True), (2e-5, False), (float("nan"), False)])
def test_a_bundle_whose_teacher_is_another_fails_without_any_gate_set(difference, passed):
    measured = replace(report(0.8, 0.85, 0.9), teacher_difference=difference)
    (result,) = check_gates(GatesConfig(), measured, 10)
    assert (result.name, result.passed) == ("teacher_is_teacher", passed)
