from __future__ import annotations

import pytest

from tfpwl.mix import Mix
from tfpwl.report import BuildReport, GateResult, MixRecord


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
