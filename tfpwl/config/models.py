"""Which network each side is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tfpwl.config.section import Fraction, Positive, Section
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


class DeriveConfig(Section):
    """A student made from the teacher: fewer channels in each layer, fewer residual blocks."""

    width: Annotated[float, Field(gt=0.0, le=1.0)] = 0.35  # share of each layer's channels that stays
    depth: Fraction = 0.5  # share of the residual blocks that stays
    importance: Literal["l1", "l2", "bn_scale", "random"] = "l2"  # which channels stay
    round_to: Positive = 8  # channel counts become multiples of it


class StudentConfig(ModelConfig):
    """The student, and what it starts from: its family's initial weights, templates, or parts of the teacher."""

    init: Literal["fresh", "wave", "random", "select", "prune"] = "fresh"
    derive: DeriveConfig | None = None

    @pydantic.model_serializer(mode="wrap")
    def _without_defaults(self, handler: Any) -> Any:
        """Leave out what was no key in earlier versions, so that sums and stage keys stay as they were."""
        fields = handler(self)
        if fields.get("init") == "fresh":
            del fields["init"]
        if fields.get("derive") is None:
            fields.pop("derive", None)
        return fields

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> StudentConfig:
        if self.derive is not None and (given := self.model_fields_set - {"derive"}):
            raise ValueError(f"`derive:` makes the student from the teacher; remove {', '.join(sorted(given))}")
        return self


class TeacherConfig(ModelConfig):
    """The teacher: a family and how it is trained, or somebody's Keras model and where it is cut."""

    keras: Path | None = None  # a functional image classifier, .keras or a legacy .h5
    cuts: tuple[str, ...] | None = None  # with `keras`: the layers to cut after, in place of `groups`
    train: TrainConfig | None = None  # with `keras`: not trained unless this is given

    @pydantic.model_serializer(mode="wrap")
    def _without_defaults(self, handler: Any) -> Any:
        """Leave out what was no key in earlier versions, so that sums and stage keys stay as they were."""
        fields = handler(self)
        return {key: value for key, value in fields.items() if value is not None or key not in ("keras", "cuts")}

    @pydantic.model_validator(mode="before")
    @classmethod
    def _family_is_trained(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("keras") is None and data.get("train") is None:
            return {**data, "train": TrainConfig()}
        return data

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> TeacherConfig:
        if self.keras is None:
            if (self.preset is None) == (self.family is None):
                raise ValueError("expected either `preset:`, `family:` or `keras:`, one of the three")
            if self.cuts is not None:
                raise ValueError("`cuts:` cuts a model given by `keras:`; a family has its own groups")
            return self
        if superfluous := sorted(self.model_fields_set - {"keras", "groups", "cuts", "train"}):
            raise ValueError(f"{', '.join(superfluous)} describes a family and cannot stand beside `keras:`")
        if (self.groups is None) == (self.cuts is None):
            raise ValueError(
                "a model given by `keras:` is cut into groups; expected either `groups: N` or `cuts: [layer, …]` "
                "(`tfpwl cut` shows where it can be cut)"
            )
        return self
