"""Pruning of a distilled pair."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from tfpwl.config.section import Positive, Section

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class PruneTargetConfig(Section):
    """Exactly one measure, and the share of it that goes."""

    flops: Share | None = None
    params: Share | None = None
    bytes: Share | None = None  # of the .tflite files
    latency: Share | None = None  # of one answer, measured on this machine

    @property
    def chosen(self) -> tuple[str, float]:
        """The measure and its share."""
        ((kind, share),) = self.model_dump(exclude_none=True).items()
        return kind, share

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> PruneTargetConfig:
        given = list(self.model_dump(exclude_none=True))
        if len(given) != 1:
            received = " and ".join(given) or "none"
            raise ValueError(f"received {received}; expected one of flops, params, bytes, latency")
        return self


class PruneConfig(Section):
    """Channels taken from the pair after it is distilled, in steps with fine-tuning after each."""

    side: Literal["student", "teacher", "both"] = "student"
    target: PruneTargetConfig
    steps: Positive = 4
    epochs_per_step: Positive = 1
    importance: Literal["l1", "l2", "bn_scale", "taylor", "random"] = "l2"
    round_to: Positive = 8  # channel counts become multiples of it
    learning_rate: Annotated[float, Field(gt=0.0)] | None = None  # of the fine-tuning; that of `distill:` by default

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are pruned."""
        return ("student", "teacher") if self.side == "both" else (self.side,)
