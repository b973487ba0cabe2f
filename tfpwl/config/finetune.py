"""Fine-tuning of a finished pair on data that were collected from devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfpwl.config.data import DataConfig
from tfpwl.config.section import Positive, Section


class FinetuneConfig(Section):
    """What the pair is adapted to, and which of its groups; the converters stay as they are.

    Batches, optimizer and decay are those of ``distill:``.
    """

    data: DataConfig  # of the same classes and shape as the pipeline's; its augmentation is that of the pipeline
    epochs: Positive = 2
    groups: Literal["student", "teacher", "all"] = "student"
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.005

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that learn."""
        return ("student", "teacher") if self.groups == "all" else (self.groups,)
