"""Where images come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from tfpwl.config.section import Positive, Section

PATHS = ("path", "folder", "npz")  # keys of `data:` that are taken from the YAML's folder


class AugmentConfig(Section):
    """Augmentation of the training images (the PWL authors' by default)."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 15.0  # degrees, either way
    flip: bool = True  # left-right
    crop: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.125  # shift as a fraction of the side, reflected


class DataConfig(Section):
    """Where images come from: exactly one of ``name``, ``folder``, ``npz`` and ``python``."""

    name: Literal["digits", "fashion_mnist", "mnist", "cifar10", "cifar100"] | None = None
    path: Path | None = None  # a local .npz for a named set that would be downloaded
    folder: Path | None = None  # one sub-folder per class
    npz: Path | None = None  # x_train, y_train, x_test, y_test
    python: str | None = None  # "module:function"
    image_size: tuple[Positive, Positive] | None = None
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    limit: Positive | None = None  # train on this many images only
    augment: AugmentConfig | None = AugmentConfig()

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
