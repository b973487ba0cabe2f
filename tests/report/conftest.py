from __future__ import annotations

from dataclasses import replace

import pytest

from tfpwl.mix import Mix
from tfpwl.report import (
    BoundaryRecord,
    BuildReport,
    FinetuneRecord,
    GateResult,
    GroupSizes,
    MixRecord,
    PruneRecord,
    RungRecord,
)


@pytest.fixture
def report() -> BuildReport:
    """Two groups, order 1 then 0, so that a path taken as prefix order would show."""
    return BuildReport(
        name="tiny",
        num_groups=2,
        order=(1, 0),
        mixes=(
            MixRecord(Mix("SS"), 1_500, 0.80, 0.2),
            MixRecord(Mix("ST"), 20_000, 0.79, 0.4),
            MixRecord(Mix("TS"), 11_000, 0.60, 0.41),
            MixRecord(Mix("TT"), 1_234_567, 0.915, 12.34),
        ),
        student_params=1_800,
        teacher_params=265_000,
        teacher_accuracy=0.915,
        kd_accuracy=0.81,
        teacher_difference=2e-6,
        num_test_images=10_000,
        images_per_s=812.3,
        timings_s={"teacher": 245.2, "export": 1.5},
        gates=(
            GateResult("monotone", False, "loses 1.0 points, limit 0.3"),
            GateResult("size", True, "1.2 MB, limit 2 MB"),
        ),
    )


def rung(name: str, size: int, drop: float, *, chosen: bool = False) -> RungRecord:
    times = {"SS": 0.1, "ST": 0.3, "TT": 0.4}
    return RungRecord(
        name=name, precision=name, method="calibration", chosen=chosen, on_ladder=True, bytes=size, drop=drop,
        worst_mix="ST", accuracy={"SS": 0.8, "ST": 0.79, "TT": 0.9}, latency_ms=times, latency_p90_ms=times,
        boundaries=(BoundaryRecord(0, "student", None if name == "fp32" else 30.0, 0.999),),
    )  # fmt: skip


@pytest.fixture
def full(report: BuildReport) -> BuildReport:
    """The report with everything a report can have."""
    return replace(
        report, tier="mid", precision="int8", choice="int8 is the fastest.", notes=("A note.",),
        rungs=(rung("fp32", 1_000_000, 0.0), rung("int8", 276_000, 0.05, chosen=True)),
        finetuning=(FinetuneRecord("SS", 0.8, 0.79, 0.5, 0.7), FinetuneRecord("TT", 0.9, 0.9, 0.6, 0.6)),
        pruning=(
            PruneRecord("student", 0, 2_000_000, 1_800, 0.8, 0.79), PruneRecord("student", 1, None, 900, 0.7, 0.7),
        ),
        groups=(GroupSizes(900, 800_000, 500, 400), GroupSizes(600, 434_567)),
        environment={"processor": "Some processor, 2 cores", "tfpwl": "0.1.0"},
        config={"name": "tiny", "data": {"name": "digits"}, "seed": 0}, command="tfpwl build tiny.yaml",
    )  # fmt: skip
