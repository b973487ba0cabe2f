"""Weight templates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfpwl.config.models import ModelConfig
from tfpwl.config.section import Factor, Fraction, Positive, Section
from tfpwl.config.training import TrainConfig


class CondenseConfig(TrainConfig):
    """The fit that distils a teacher into templates."""

    epochs: Positive = 20
    batch_size: Positive = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    warmup: Fraction = 0.1
    weight_decay: Factor = 0.0
    clip_norm: Annotated[float, Field(gt=0.0)] | None = 1.0
    temperature: Annotated[float, Field(gt=0.0)] = 2.0
    alpha: Fraction = 0.4  # weight of the hard loss; 1 - alpha is that of the soft loss


class WaveConfig(Section):
    """Weight templates (docs/wave.md): what ``tfpwl wave condense`` makes and ``student: {init: wave}`` starts from."""

    templates: Literal["auto"] | dict[str, tuple[Positive, Positive]] = "auto"  # by kind; auto: common divisors
    num_templates: Positive | None = None  # of each kind; by default a share of the auxiliary model's blocks
    condense: CondenseConfig = CondenseConfig()
    sizes: tuple[ModelConfig, ...] = ()  # besides the student: other sizes that will start from the templates
    scaler_steps: Positive = 150
    scaler_learning_rate: Annotated[float, Field(gt=0.0)] = 0.01
