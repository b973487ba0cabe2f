"""The configuration of ``tfpwl wave study``: which sizes, starts, seeds and lengths of training are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from tfpwl.config import CondenseConfig, DataSection, ModelConfig, Section, TeacherConfig, TrainConfig, digest, load_as
from tfpwl.config.section import Positive

Start = Literal["wave", "random", "select", "prune"]
Factor = Annotated[float, Field(gt=0.0)]


class FamilyStudy(Section):
    """One family: its teacher, its templates and the sizes that start from them."""

    teacher: TeacherConfig
    condense: CondenseConfig = CondenseConfig()
    num_templates: Positive | None = None
    train: TrainConfig  # of every size and start; `epochs` is not used
    # Each start takes of these, for each length, the one that is best on validation images; none: that of `train`.
    learning_rates: tuple[Factor, ...] = ()
    sizes: tuple[ModelConfig, ...]

    @pydantic.field_validator("teacher")
    @classmethod
    def _family(cls, value: TeacherConfig) -> TeacherConfig:
        if value.keras is not None:
            raise ValueError("received `keras:`; expected a family, which has other sizes")
        return value

    @pydantic.field_validator("sizes")
    @classmethod
    def _some(cls, value: tuple[ModelConfig, ...]) -> tuple[ModelConfig, ...]:
        if not value:
            raise ValueError("expected at least one size")
        return value


class StudyConfig(DataSection):
    """A study. ``epochs`` are lengths of training, each with a learning-rate schedule of its own; 0 is the start."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    subset: Positive | None = None  # images that sizes (and scalers) train on; teacher and templates see all
    split: Literal["test", "validation"] = "test"  # what is measured; other settings are to be tried on validation
    test_limit: Positive | None = None  # images of a split that are measured on
    seeds: Positive = 3
    starts: tuple[Start, ...] = ("wave", "random", "select", "prune")
    epochs: tuple[Positive, ...] = (1, 3, 10)
    # Random starts train so long, until they reach what WAVE has after the last of `epochs`.
    long_epochs: tuple[Positive, ...] = (20, 40, 80, 150)
    scaler_steps: Positive = 150
    scaler_learning_rate: Factor = 0.03
    families: tuple[FamilyStudy, ...]

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> StudyConfig:
        lengths = (*self.epochs, *self.long_epochs)
        if not self.epochs or list(lengths) != sorted(set(lengths)):
            raise ValueError(f"received epochs {list(self.epochs)} and long_epochs {list(self.long_epochs)}; "
                             "expected rising numbers, the long ones after the others")  # fmt: skip
        if not self.families or "wave" not in self.starts or len(set(self.starts)) != len(self.starts):
            raise ValueError("expected at least one family, and starts each once with wave among them")
        return self

    def key(self) -> str:
        """Sum of everything that the results depend on, but for the data themselves."""
        return digest(self.model_dump(mode="json", exclude={"data": {"path", "folder", "npz"}}))


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study's YAML; see :func:`tfpwl.config.load_config`.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value is wrong.
    """
    return load_as(StudyConfig, path, overrides)
