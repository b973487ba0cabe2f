"""Where images come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tfpwl.config.section import Positive, Section

PATHS = ("path", "folder", "npz")  # keys of `data:` that are taken from the YAML's folder
_LATER_KEYS = ("channels", "preprocess")


class AugmentConfig(Section):
    """Augmentation of the training images (the PWL authors' by default)."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 15.0  # degrees, either way
    flip: bool = True  # left-right
    crop: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.125  # shift as a fraction of the side, reflected


class PreprocessConfig(Section):
    """How a raw image becomes what the networks take: ``(raw * scale - mean) / std``; ``{}`` hands raw pixels on."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)  # one number, or one per channel
    std: tuple[float, ...] = (1.0,)

    @pydantic.field_validator("mean", "std", mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (int, float)) else value

    @pydantic.model_validator(mode="after")
    def _as_many(self) -> PreprocessConfig:
        lengths = {len(self.mean), len(self.std)} - {1}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                f"received {len(self.mean)} numbers as mean and {len(self.std)} as std; expected one, or one per "
                "channel, for both"
            )
        if not all(self.std) or not self.scale:
            raise ValueError("scale and std may not be 0")
        return self


class DataConfig(Section):
    """Where images come from: exactly one of ``name``, ``folder``, ``npz`` and ``python``."""

    name: Literal["digits", "fashion_mnist", "mnist", "cifar10", "cifar100"] | None = None
    path: Path | None = None  # a local .npz for a named set that would be downloaded
    folder: Path | None = None  # one sub-folder per class
    npz: Path | None = None  # x_train, y_train, x_test, y_test
    python: str | None = None  # "module:function"
    image_size: tuple[Positive, Positive] | None = None
    channels: Literal[3] | None = None  # gives grey images three equal channels, for a network that wants colour
    preprocess: PreprocessConfig | None = None  # by default what gives the training images mean 0 and variance 1
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    limit: Positive | None = None  # train on this many images only
    augment: AugmentConfig | None = AugmentConfig()

    @pydantic.model_serializer(mode="wrap")
    def _without_defaults(self, handler: Any) -> Any:
        """Leave out what was no key before there were teachers of other people, so that sums stay as they were."""
        fields = handler(self)
        return {key: value for key, value in fields.items() if value is not None or key not in _LATER_KEYS}

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        given = [key for key in ("name", "folder", "npz", "python") if getattr(self, key) is not None]
        if len(given) != 1:
            received = " and ".join(given) or "no source"
            raise ValueError(f"received {received}; expected one of name, folder, npz, python")
        return self


class DataSection(Section):
    """A configuration with a data set."""

    data: DataConfig
