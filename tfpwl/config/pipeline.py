"""A whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field
from pydantic_core import InitErrorDetails, PydanticCustomError

from tfpwl.config.data import PATHS, DataConfig, DataSection
from tfpwl.config.finetune import FinetuneConfig
from tfpwl.config.models import StudentConfig, TeacherConfig
from tfpwl.config.prune import PruneConfig
from tfpwl.config.quantize import QuantizeConfig
from tfpwl.config.reading import digest, hint_at_key, load_as, parse_as, validate_as
from tfpwl.config.results import EvaluateConfig, ExportConfig, GatesConfig, RuntimeConfig
from tfpwl.config.search import as_sections, default_space, each_value
from tfpwl.config.section import Loc
from tfpwl.config.tiers import TIER_NAME, TierConfig, merged, read_tiers
from tfpwl.config.training import DistillConfig
from tfpwl.config.wave import WaveConfig
from tfpwl.errors import ConfigError


class PipelineConfig(DataSection):
    """A whole pipeline."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig
    teacher: TeacherConfig
    student: Annotated[StudentConfig, Field(validate_default=True)] = StudentConfig()
    wave: WaveConfig | None = None  # the defaults of WaveConfig, where the student starts from templates
    distill: DistillConfig = DistillConfig()
    prune: PruneConfig | None = None  # the pair stays as it was distilled
    finetune: FinetuneConfig | None = None  # no data from devices
    export: ExportConfig = ExportConfig()
    quantize: QuantizeConfig | None = None  # fp32 alone
    runtime: RuntimeConfig = RuntimeConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    gates: GatesConfig = GatesConfig()
    # Smallest first; `default` stands for low, mid and high.
    tiers: Annotated[
        dict[Annotated[str, Field(pattern=TIER_NAME)], TierConfig] | None,
        pydantic.BeforeValidator(read_tiers),
        Field(min_length=1, max_length=32),
    ] = None

    @pydantic.field_validator("student", mode="after")
    @classmethod
    def _says_what_it_is(cls, student: StudentConfig, info: pydantic.ValidationInfo) -> StudentConfig:
        """A student takes what it does not say from the teacher's family; somebody's Keras model has none."""
        teacher = info.data.get("teacher")
        if teacher is None or teacher.keras is None or student.derive is not None:
            return student
        if student.family is None and student.preset is None:
            raise ValueError(
                "the teacher is a model of no family; expected `derive: {width: …, depth: …}`, or a `family:` or "
                "`preset:` whose groups end in the same spatial shapes as the teacher's"
            )
        if student.init != "fresh":
            raise ValueError(f"`init: {student.init}` needs a teacher of a family; `derive:` starts from its channels")
        return student

    @pydantic.model_validator(mode="after")
    def _tiers_are_pipelines(self) -> PipelineConfig:
        for name in self.tiers or {}:
            try:
                self._tier_as_pipeline(name)
            except pydantic.ValidationError as exc:
                raise pydantic.ValidationError.from_exception_data(
                    exc.title, [_in_tier(name, error) for error in exc.errors(include_url=False)]
                ) from exc
            self._space_is_of_pipelines(name)
        return self

    def _space_is_of_pipelines(self, name: str) -> None:
        for key, choices in each_value(self.search_space(name)):
            try:
                self._tier_as_pipeline(name, as_sections(choices))
            except pydantic.ValidationError as exc:
                raise pydantic.ValidationError.from_exception_data(
                    exc.title, [_in_space(name, key, choices[key], error) for error in exc.errors(include_url=False)]
                ) from exc

    def search_space(self, name: str) -> Mapping[str, tuple[Any, ...]]:
        """What the tier's ``search:`` tries, values by dotted key; nothing where it has none."""
        search = (self.tiers or {})[name].search
        if search is None:
            return {}
        return search.space if search.space is not None else default_space(self._tier_as_pipeline(name))

    def for_tier(self, name: str, choices: Mapping[str, Any] | None = None) -> PipelineConfig:
        """The pipeline of one tier: this one with the tier's sections merged in, and without ``tiers``.

        Args:
            name: of the tier.
            choices: of its search, values by dotted key; merged in behind the tier's sections.

        Raises:
            ConfigError: there is no such tier, or the choices do not go together.
        """
        if name not in (self.tiers or {}):
            known = f"it has {', '.join(self.tiers)}" if self.tiers else "it has no `tiers:`; try `tiers: default`"
            raise ConfigError(f"Received tier {name!r} for the pipeline {self.name}; {known}.")
        try:
            made, own = self._tier_as_pipeline(name, as_sections(choices or {})), ("tiers", name)
        except pydantic.ValidationError as exc:  # each value was looked at, but not with each of the others
            found = exc.errors(include_url=False)[0]
            raise ConfigError(
                f"{self.place('tiers', name, 'search')}: {dict(choices or {})} is no pipeline: "
                f"`{'.'.join(map(str, found['loc']))}`: {found['msg']}"
            ) from exc
        changed = {loc[2:]: place for loc, place in self._places.items() if loc[:2] == own and loc[2:]}
        made.remember({**self._places, **changed})
        return made

    def _tier_as_pipeline(self, name: str, changes: Mapping[str, Any] | None = None) -> PipelineConfig:
        given = self.model_dump(exclude_unset=True, exclude={"tiers"})
        fields = merged(merged(given, (self.tiers or {})[name].overrides), changes or {})
        for side in ("teacher", "student"):
            # Of a network's keys null means that it is not given, so that `derive:` can take the place of `widths:`.
            if isinstance(fields.get(side), dict):
                fields[side] = {key: value for key, value in fields[side].items() if value is not None}
        return PipelineConfig.model_validate({key: value for key, value in fields.items() if value is not None})

    def sha256(self) -> str:
        """Sum of what decides over the bundle's content; it goes into the manifest.

        Not in it: where the data lie on this machine, how many processes measure, and the gates.
        """
        fields = self.model_dump(mode="json", exclude={"gates": True, "tiers": True, "evaluate": {"workers"}})
        for key in PATHS:
            if (path := getattr(self.data, key)) is not None:
                fields["data"][key] = path.name
            if self.finetune is not None and (path := getattr(self.finetune.data, key)) is not None:
                fields["finetune"]["data"][key] = path.name
        if self.teacher.keras is not None:
            fields["teacher"]["keras"] = self.teacher.keras.name
        for later in ("prune", "finetune"):  # sums stay as they were before there were these sections
            if getattr(self, later) is None:
                del fields[later]
        if self.quantize is None:
            del fields["quantize"]  # the sum that the pipeline had before there was a ladder
        if self.wave is None:
            del fields["wave"]
        if self.runtime == RuntimeConfig():
            del fields["runtime"]
        return digest(fields)


def _in_tier(name: str, error: Any) -> InitErrorDetails:
    """An error of a tier's pipeline as one at the tier's key."""
    kind = error["type"]
    known = {"value_error", "assertion_error"}
    return InitErrorDetails(
        type=PydanticCustomError(kind, error["msg"]) if kind in known else kind,
        loc=("tiers", name, *error["loc"]),
        input=error["input"],
        ctx=error.get("ctx", {}),
    )


def _in_space(name: str, key: str, value: Any, error: Any) -> InitErrorDetails:
    """An error of a pipeline that a search would try as one at the value's key."""
    loc = tuple(error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"no key of a pipeline{hint_at_key(loc, PipelineConfig)}"
    what = f"with {value!r}, `{'.'.join(map(str, loc))}`: {message}"
    return InitErrorDetails(
        type=PydanticCustomError("value_error", what), loc=("tiers", name, "search", "space", key), input=value, ctx={}
    )


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
