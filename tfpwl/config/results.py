"""How a bundle is written, measured and judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfpwl.config.section import Points, Positive, Section


class ExportConfig(Section):
    """How groups become files."""

    batch: Positive = 1  # images per answer, fixed in the files


class RuntimeConfig(Section):
    """How an app runs the bundle unless it says otherwise; goes into the manifest."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    delegate: Literal["xnnpack", "gpu", "nnapi"] = "xnnpack"


class EvaluateConfig(Section):
    """Which mixes are measured through the files."""

    mixes: Literal["all", "path"] = "all"
    workers: Positive | None = None
    limit: Positive | None = None  # test images used; all by default


class GatesConfig(Section):
    """What a build must reach; a gate that fails makes ``tfpwl build`` exit 1 after the report."""

    min_teacher_accuracy: Points | None = None  # per cent
    min_student_accuracy: Points | None = None
    max_student_drop: Points | None = None  # points between TTTT and SSSS
    max_step_loss: Points | None = None  # points that one step of the path may lose
    max_bundle_bytes: Positive | None = None
