"""Which network each side is."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from tfpwl.config.section import Positive, Section
from tfpwl.config.training import TrainConfig


class ModelConfig(Section):
    """A family with its parameters, or a preset with what differs from it."""

    preset: Literal["resnet-cifar", "vgg-cifar", "vit-tiny", "lenet5"] | None = None
    family: Literal["lenet5", "vgg", "resnet", "vit"] | None = None
    widths: tuple[Positive, ...] | None = None
    depths: tuple[Positive, ...] | None = None
    stem: Positive | None = None
    channels: tuple[Positive, ...] | None = None
    units: tuple[Positive, ...] | None = None
    patch: Positive | None = None
    width: Positive | None = None
    depth: Positive | None = None
    heads: Positive | None = None
    mlp: Positive | None = None
    groups: Positive | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The family parameters that were given."""
        chosen = self.model_dump(exclude={"preset", "family", "train"}, exclude_none=True)
        return {key: value for key, value in chosen.items() if key in ModelConfig.model_fields}


class StudentConfig(ModelConfig):
    """The student, and what it starts from: its family's initial weights, templates, or parts of the teacher."""

    init: Literal["fresh", "wave", "random", "select", "prune"] = "fresh"

    @pydantic.model_serializer(mode="wrap")
    def _without_default(self, handler: Any) -> Any:
        """Leave out what was no key before there were templates, so that sums and stage keys stay as they were."""
        fields = handler(self)
        if fields.get("init") == "fresh":
            del fields["init"]
        return fields


class TeacherConfig(ModelConfig):
    """The teacher and how it is trained."""

    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> TeacherConfig:
        if (self.preset is None) == (self.family is None):
            raise ValueError("expected either `preset:` or `family:`, one of the two")
        return self
