"""Quality gates: limits in the pipeline's YAML that a build must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfpwl.config import GatesConfig
from tfpwl.pipeline.ladder import rung_metrics
from tfpwl.report import BuildReport, GateResult

# Contract 4 of the bundle, in units of the logits. Half weights are unpacked to float32, so that fp16 computes as fp32
# does. With w8 both sides scale the same float activations at run time; but where they differ in the last bit, one
# activation of a thousand rounds to its neighbour, a step of 1/127 of the largest: some 1e-2 of a logit. Under int8
# everything between the files is an integer, and equal ranges give equal integers.
_MAX_TEACHER_DIFFERENCE = {"fp32": 1e-5, "fp16": 1e-5, "w8": 5e-2, "int8": 0.0}


def check_gates(gates: GatesConfig, report: BuildReport, bundle_bytes: int) -> tuple[GateResult, ...]:
    """How the gates that were set went, after the one that always holds: the all-teacher mix is the teacher.

    Args:
        gates: the limits; those that are None are not checked.
        report: what was measured.
        bundle_bytes: of all .tflite files together.
    """
    return tuple(_check(gates, report, bundle_bytes))


def ladder_gate(quantized: Mapping[str, Any]) -> GateResult:
    """How the gate of ``quantize:`` went.

    Args:
        quantized: metrics of the stage ``quantize``.
    """
    chosen, limit = rung_metrics(quantized), f"at most {quantized['max_drop']:g} allowed"
    found = f"{chosen['name']} loses {max(0.0, chosen['drop']):.2f} points on {chosen['worst_mix']}"
    best = "" if quantized["passed"] else ", the least of all rungs"
    return GateResult("quantize.max_drop", quantized["passed"], f"{found}{best}; {limit}")


def _check(gates: GatesConfig, report: BuildReport, bundle_bytes: int) -> Iterator[GateResult]:
    if report.teacher_difference is not None:
        found = f"{report.path[-1].mix} differs from the teacher in one piece by {report.teacher_difference:.1e}"
        allowed = _MAX_TEACHER_DIFFERENCE[report.precision]
        rule = f"at most {allowed:.0e} allowed" if allowed else "at int8 with the same ranges not a bit may differ"
        yield GateResult("teacher_is_teacher", report.teacher_difference <= allowed, f"{found}; {rule}")
    student, teacher = (100.0 * (record.accuracy or 0.0) for record in (report.path[0], report.path[-1]))
    if (limit := gates.min_teacher_accuracy) is not None:
        yield _at_least("min_teacher_accuracy", teacher, limit, f"{report.path[-1].mix} has {teacher:.2f} %")
    if (limit := gates.min_student_accuracy) is not None:
        yield _at_least("min_student_accuracy", student, limit, f"{report.path[0].mix} has {student:.2f} %")
    if (limit := gates.max_student_drop) is not None:
        drop = teacher - student
        yield _at_most("max_student_drop", drop, limit, f"the student is {drop:.2f} points below the teacher")
    if (limit := gates.max_step_loss) is not None:
        loss, mix = max((0.0 - 100.0 * (step or 0.0), r.mix) for r, step in zip(report.path, report.steps, strict=True))
        yield _at_most("max_step_loss", loss, limit, f"the worst step, to {mix}, loses {max(0.0, loss):.2f} points")
    if (limit := gates.max_bundle_bytes) is not None:
        yield _at_most("max_bundle_bytes", bundle_bytes, limit, f"the bundle has {bundle_bytes:,} bytes")


def _at_least(name: str, value: float, limit: float, found: str) -> GateResult:
    return GateResult(name, _beyond(value, limit) >= 0, f"{found}; at least {limit:,} wanted")


def _at_most(name: str, value: float, limit: float, found: str) -> GateResult:
    return GateResult(name, _beyond(value, limit) <= 0, f"{found}; at most {limit:,} allowed")


def _beyond(value: float, limit: float) -> float:
    # Accuracies are counts over counts: 0.885 * 100 - 88.5 must be 0, not 1e-14.
    return round(value - limit, 9)
