"""The pipeline YAML as typed, frozen models; what it does not know it refuses, with the line and a hint.

Example:
    >>> config = parse_config("name: demo\\ndata: {name: digits}\\nteacher: {family: lenet5}\\n")
    >>> config.distill.temperature
    2.0
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from tfpwl.errors import ConfigError

Loc = tuple[int | str, ...]
_PATHS = ("path", "folder", "npz")  # keys of `data:` that are taken from the YAML's folder
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Factor = Annotated[float, Field(ge=0.0)]
Points = Annotated[float, Field(ge=0.0, le=100.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=_Section)


class AugmentConfig(_Section):
    """Augmentation of the training images (the PWL authors' by default)."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 15.0  # degrees, either way
    flip: bool = True  # left-right
    crop: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.125  # shift as a fraction of the side, reflected


class DataConfig(_Section):
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


class TrainConfig(_Section):
    """How a network is fitted. Defaults are the PWL authors' (arXiv 2509.22319)."""

    epochs: Positive = 160
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.05
    final_learning_rate: Factor = 1e-5  # where the cosine ends
    warmup: Fraction = 0.0  # share of all steps in which the learning rate rises from 0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: Factor = 5e-4
    clip_norm: Annotated[float, Field(gt=0.0)] | None = None  # largest norm of all gradients together
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class ModelConfig(_Section):
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


class DistillConfig(TrainConfig):
    """The PWL losses, their weights and the fit; ``method: kd`` is plain distillation with the same fit."""

    method: Literal["pwl", "kd"] = "pwl"
    temperature: Annotated[float, Field(gt=0.0)] = 2.0
    alpha: Fraction = 0.4  # weight of the hard loss; 1 - alpha is that of the soft loss
    w_sync: Factor = 1.0
    w_recon: Factor = 1.0
    w_cross: Factor = 2.0
    cross: Literal["random", "all"] = "random"
    single_switch: Fraction = 0.5  # share of random mixes with exactly one switch
    path_share: Fraction = 0.0  # share of mixes taken from the prefix path instead (0 in the paper)
    converter_lr: Factor = 0.2  # learning rate of encoders and decoders, times this
    baseline: bool = False  # also train the same student by plain distillation, to compare


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


class WaveConfig(_Section):
    """Weight templates (docs/wave.md): what ``tfpwl wave condense`` makes and ``student: {init: wave}`` starts from."""

    templates: Literal["auto"] | dict[str, tuple[Positive, Positive]] = "auto"  # by kind; auto: common divisors
    num_templates: Positive | None = None  # of each kind; by default a share of the auxiliary model's blocks
    condense: CondenseConfig = CondenseConfig()
    sizes: tuple[ModelConfig, ...] = ()  # besides the student: other sizes that will start from the templates
    scaler_steps: Positive = 150
    scaler_learning_rate: Annotated[float, Field(gt=0.0)] = 0.01


class ExportConfig(_Section):
    """How groups become files."""

    batch: Positive = 1  # images per answer, fixed in the files


class EvaluateConfig(_Section):
    """Which mixes are measured through the files."""

    mixes: Literal["all", "path"] = "all"
    workers: Positive | None = None
    limit: Positive | None = None  # test images used; all by default


class CalibrationConfig(_Section):
    """Which data finds the ranges of int8."""

    samples: Positive = 512  # training images, a random choice of the pipeline's seed
    mixes: Literal["path", "all"] = "path"  # whose activations count


class QuantizeGateConfig(_Section):
    """What a rung must keep."""

    max_drop: Points = 1.0  # points against fp32, for every mix of the path


class QatConfig(_Section):
    """Quantization-aware training, where int8 by calibration misses the gate."""

    epochs: Positive = 3
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3


class QuantizeConfig(_Section):
    """The precision ladder: every rung is made and measured, and one of those that keep the gate is taken."""

    ladder: tuple[Literal["fp32", "fp16", "w8", "int8"], ...] = ("fp32", "fp16", "w8", "int8")
    calibration: CalibrationConfig = CalibrationConfig()
    gate: QuantizeGateConfig = QuantizeGateConfig()
    qat: QatConfig | None = None
    select: Literal["fastest", "smallest"] = "fastest"

    @pydantic.field_validator("ladder", mode="before")
    @classmethod
    def _one_precision(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.field_validator("ladder")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"received {list(value)}; expected at least one of fp32, fp16, w8, int8, each once")
        return value

    @pydantic.model_validator(mode="after")
    def _qat_needs_int8(self) -> QuantizeConfig:
        if self.qat is not None and "int8" not in self.ladder:
            raise ValueError("`qat` trains for int8, which is not on the ladder; add it or remove `qat`")
        return self


class GatesConfig(_Section):
    """What a build must reach; a gate that fails makes ``tfpwl build`` exit 1 after the report."""

    min_teacher_accuracy: Points | None = None  # per cent
    min_student_accuracy: Points | None = None
    max_student_drop: Points | None = None  # points between TTTT and SSSS
    max_step_loss: Points | None = None  # points that one step of the path may lose
    max_bundle_bytes: Positive | None = None


class DataSection(_Section):
    """A configuration with a data set."""

    data: DataConfig


WithData = TypeVar("WithData", bound=DataSection)


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
        for key in _PATHS:
            if (path := getattr(self.data, key)) is not None:
                fields["data"][key] = path.name
        if self.quantize is None:
            del fields["quantize"]  # the sum that the pipeline had before there was a ladder
        if self.wave is None:
            del fields["wave"]
        return digest(fields)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a pipeline YAML.

    Args:
        path: the file. Relative paths inside it are taken from the file's folder.
        overrides: ``"key.sub=value"`` texts, values in YAML, applied over the file.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or value is wrong; names file and line.
    """
    return load_as(PipelineConfig, path, overrides)


def load_as(schema: type[WithData], path: Path, overrides: Sequence[str] = ()) -> WithData:
    """As :func:`load_config`, for another configuration that has a ``data:`` section."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigError(f"No such pipeline: {path}. `tfpwl init` writes one.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"Cannot read the pipeline {path}: {exc}") from exc
    config = parse_as(schema, text, source=str(path), overrides=overrides)
    return config.model_copy(update={"data": _resolve(config.data, path.parent)})


def parse_config(text: str, *, source: str = "<text>", overrides: Sequence[str] = ()) -> PipelineConfig:
    """Parse a pipeline from YAML text; see :func:`load_config`."""
    return parse_as(PipelineConfig, text, source=source, overrides=overrides)


def parse_as(
    schema: type[AnySection], text: str, *, source: str = "<text>", overrides: Sequence[str] = ()
) -> AnySection:
    """As :func:`parse_config`, for another configuration that is made of sections."""
    data, places = _read_yaml(text, source)
    for override in overrides:
        loc = _apply_override(data, override)
        places = {known: place for known, place in places.items() if known[: len(loc)] != loc}
        places[loc] = f"--set {override}"
    return validate_as(schema, data, source=source, places=places)


def validate(
    data: Mapping[str, Any], *, source: str = "<config>", places: Mapping[Loc, str] | None = None
) -> PipelineConfig:
    """Turn plain data into a :class:`PipelineConfig`, or raise a ConfigError that names every mistake."""
    return validate_as(PipelineConfig, data, source=source, places=places)


def validate_as(
    schema: type[AnySection], data: Mapping[str, Any], *, source: str = "<config>",
    places: Mapping[Loc, str] | None = None,
) -> AnySection:  # fmt: skip
    """As :func:`validate`, for another configuration that is made of sections."""
    try:
        return schema.model_validate(data)
    except pydantic.ValidationError as exc:
        problems = [_describe(error, source, places or {}, schema) for error in exc.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from exc


def _resolve(data: DataConfig, base: Path) -> DataConfig:
    paths = {key: base / value for key in _PATHS if (value := getattr(data, key)) is not None}
    return data.model_copy(update=paths)


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-5 as a number, as YAML 1.2 does (YAML 1.1 wants 1.0e-5)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _read_yaml(text: str, source: str) -> tuple[dict[str, Any], dict[Loc, str]]:
    """The data, and for each key its place in the text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{source} is not valid YAML: {exc}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{source} is nested too deeply to be a pipeline.") from exc
    if not isinstance(data, dict) or node is None:
        received = type(data).__name__
        raise ConfigError(f"{source}: received {received}; expected a mapping with `name:`, `data:`, `teacher:`")
    places: dict[Loc, str] = {}
    _collect_places(node, (), places, source)
    return data, places


def _collect_places(node: yaml.Node, loc: Loc, places: dict[Loc, str], source: str) -> None:
    places.setdefault(loc, f"{source}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{source}:{key.start_mark.line + 1}"
            if key.value in seen:
                raise ConfigError(f"{place}: key `{key.value}` is given twice; remove one")
            seen.add(key.value)
            places[(*loc, key.value)] = place
            _collect_places(value, (*loc, key.value), places, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_places(value, (*loc, index), places, source)


def _apply_override(data: dict[str, Any], override: str) -> Loc:
    """Put the value where the override says; returns where that is."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set received {override!r}; expected key=value, such as distill.epochs=5")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value: {exc}") from exc
    *parents, last = key.split(".")
    target = data
    for parent in parents:
        if target.get(parent) is None:
            target[parent] = {}
        target = target[parent]
        if not isinstance(target, dict):
            raise ConfigError(f"--set {key}: `{parent}` holds {target!r}, which has no keys")
    target[last] = value
    return (*parents, last)


def _describe(error: Any, source: str, places: Mapping[Loc, str], schema: type[BaseModel]) -> str:
    loc: Loc = tuple(error["loc"])
    place = next((places[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in places), source)
    dotted = ".".join(str(part) for part in loc) or "pipeline"
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key `{dotted}`{_nearest(str(loc[-1]), _keys_at(loc[:-1], schema))}"
    if error["type"] == "missing":
        return f"{place}: key `{dotted}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    received = "" if error["type"] == "value_error" else f" (received {error['input']!r})"
    return f"{place}: `{dotted}`: {message}{received}"


def _nearest(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known keys: {', '.join(names)}"


def _keys_at(loc: Loc, section: type[BaseModel]) -> list[str]:
    for part in loc:
        if isinstance(part, int):
            continue  # of a list: the section was found with the list's key
        section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as ``X | None`` or ``tuple[X, ...]`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_section_in(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inside if found is not None), None)
