"""The precision ladder."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tfpwl.config.section import Points, Positive, Section


class CalibrationConfig(Section):
    """Which data finds the ranges of int8."""

    samples: Positive = 512  # training images, a random choice of the pipeline's seed
    mixes: Literal["path", "all"] = "path"  # whose activations count


class QuantizeGateConfig(Section):
    """What a rung must keep."""

    max_drop: Points = 1.0  # points against fp32, for every mix of the path


class QatConfig(Section):
    """Quantization-aware training, where int8 by calibration misses the gate."""

    epochs: Positive = 3
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3


class QuantizeConfig(Section):
    """The precision ladder: every rung is made and measured, and one of those that keep the gate is taken."""

    ladder: tuple[Literal["fp32", "fp16", "w8", "int8"], ...] = ("fp32", "fp16", "w8", "int8")
    calibration: CalibrationConfig = CalibrationConfig()
    gate: QuantizeGateConfig = QuantizeGateConfig()
    qat: QatConfig | None = None
    select: Literal["fastest", "smallest", "first"] = "fastest"  # first: in the order of the ladder

    @pydantic.field_validator("ladder", mode="before")
    @classmethod
    def _one_precision(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.field_validator("ladder")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"received {list(value)}; expected at least one of fp32, fp16, w8, int8, each once")
        return value

    @pydantic.model_validator(mode="after")
    def _qat_needs_int8(self) -> QuantizeConfig:
        if self.qat is not None and "int8" not in self.ladder:
            raise ValueError("`qat` trains for int8, which is not on the ladder; add it or remove `qat`")
        return self
