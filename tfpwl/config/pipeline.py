"""A whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tfpwl.config.data import PATHS, DataConfig, DataSection
from tfpwl.config.models import StudentConfig, TeacherConfig
from tfpwl.config.quantize import QuantizeConfig
from tfpwl.config.reading import Loc, digest, load_as, parse_as, validate_as
from tfpwl.config.results import EvaluateConfig, ExportConfig, GatesConfig
from tfpwl.config.training import DistillConfig
from tfpwl.config.wave import WaveConfig


class PipelineConfig(DataSection):
    """A whole pipeline."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig
    teacher: TeacherConfig
    student: StudentConfig = StudentConfig()
    wave: WaveConfig | None = None  # the defaults of WaveConfig, where the student starts from templates
    distill: DistillConfig = DistillConfig()
    export: ExportConfig = ExportConfig()
    quantize: QuantizeConfig | None = None  # fp32 alone
    evaluate: EvaluateConfig = EvaluateConfig()
    gates: GatesConfig = GatesConfig()

    def sha256(self) -> str:
        """Sum of what decides over the bundle's content; it goes into the manifest.

        Not in it: where the data lie on this machine, how many processes measure, and the gates.
        """
        fields = self.model_dump(mode="json", exclude={"gates": True, "evaluate": {"workers"}})
        for key in PATHS:
            if (path := getattr(self.data, key)) is not None:
                fields["data"][key] = path.name
        if self.quantize is None:
            del fields["quantize"]  # the sum that the pipeline had before there was a ladder
        if self.wave is None:
            del fields["wave"]
        return digest(fields)


def load_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a pipeline YAML.

    Args:
        path: the file. Relative paths inside it are taken from the file's folder.
        overrides: ``"key.sub=value"`` texts, values in YAML, applied over the file.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value is wrong; names file and line.
    """
    return load_as(PipelineConfig, path, overrides)


def parse_config(text: str, *, source: str = "<text>", overrides: Sequence[str] = ()) -> PipelineConfig:
    """Parse a pipeline from YAML text; see :func:`load_config`."""
    return parse_as(PipelineConfig, text, source=source, overrides=overrides)


def validate(
    data: Mapping[str, Any], *, source: str = "<config>", places: Mapping[Loc, str] | None = None
) -> PipelineConfig:
    """Turn plain data into a :class:`PipelineConfig`, or raise a ConfigError that names every mistake."""
    return validate_as(PipelineConfig, data, source=source, places=places)
