"""What a tier's search may change of the pipeline, and how often it may try."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tfpwl.config.section import Section

if TYPE_CHECKING:
    from tfpwl.config.pipeline import PipelineConfig

# What of a student as it is written, and of the teacher's operations, the default space tries.
_STUDENT_SHARES = (0.5, 0.75, 1.0)
_PRUNED_SHARES = (0.3, 0.5, 0.7)
_PRECISIONS = ("fp32", "fp16", "w8", "int8")
LIMIT_OF = {"latency": "latency_ms", "bytes": "bundle_bytes", "memory": "resident_bytes"}

Space = Mapping[str, tuple[Any, ...]]


def _as_list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"received {value!r}; expected a list of the values to try, such as [0.4, 0.6]")
    return value


def _some_each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("received no value; expected a list of the values to try, such as [0.4, 0.6]")
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"received {twice[0]!r} twice; expected each value once")
    return values


def _none_inside_another(space: Any) -> Any:
    for key in space or {}:
        if inside := [other for other in space if other.startswith(f"{key}.")]:
            raise ValueError(f"`{inside[0]}` lies inside `{key}`; expected keys of which none holds another")
    return space


class SearchConfig(Section):
    """Try changes of the tier's pipeline and take the most accurate one that keeps every limit and gate."""

    limit: Literal["latency", "bytes", "memory"] = "latency"  # must be set; decides between equal accuracies
    trials: Annotated[int, Field(ge=1, le=1000)] = 12  # different configurations, those that are not trained among them
    # Values by key of the pipeline, such as "prune.target.flops": [0.4, 0.6]; by default what `default_space` says.
    space: Annotated[
        dict[str, Annotated[tuple[Any, ...], BeforeValidator(_as_list), AfterValidator(_some_each_once)]] | None,
        Field(min_length=1),
        AfterValidator(_none_inside_another),
    ] = None


def default_space(config: PipelineConfig) -> Space:
    """Width of the student, share of the teacher that is pruned, precision: around what a tier's pipeline says.

    Example:
        >>> default_space(config.for_tier("low"))                                  # doctest: +SKIP
        {'student.widths': ([4, 6, 8, 12], …), 'prune.target.flops': (0.3, …), 'quantize.ladder': (['w8'], …)}
    """
    space = {**_student_space(config), **_prune_space(config)}
    # Training for int8 asks for int8 on the ladder, which then chooses for itself.
    if config.quantize is None or config.quantize.qat is None:
        ladder = _PRECISIONS if config.quantize is None else config.quantize.ladder
        space["quantize.ladder"] = tuple([precision] for precision in ladder)
    return space


def _student_space(config: PipelineConfig) -> dict[str, tuple[Any, ...]]:
    student = config.student
    if student.derive is not None:
        return {"student.derive.width": tuple(round(share * student.derive.width, 4) for share in _STUDENT_SHARES)}
    for key in ("widths", "channels"):
        if (written := getattr(student, key)) is not None:
            scaled = [[max(1, round(share * width)) for width in written] for share in _STUDENT_SHARES]
            return {f"student.{key}": tuple(one for one, _ in itertools.groupby(scaled))}
    return {}


def _prune_space(config: PipelineConfig) -> dict[str, tuple[Any, ...]]:
    if config.prune is None:
        pruned = ({"side": "teacher", "target": {"flops": share}} for share in _PRUNED_SHARES)
        return {"prune": (None, *pruned)}
    kind, written = config.prune.target.chosen
    return {f"prune.target.{kind}": tuple(sorted({*_PRUNED_SHARES, written}))}


def as_sections(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as sections of a pipeline.

    Example:
        >>> as_sections({"prune.target.flops": 0.4, "prune.steps": 2})
        {'prune': {'target': {'flops': 0.4}, 'steps': 2}}
    """
    sections: dict[str, Any] = {}
    for key, value in choices.items():
        *parents, last = key.split(".")
        inside = sections
        for parent in parents:
            inside = inside.setdefault(parent, {})
        inside[last] = value
    return sections


def each_value(space: Space) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every value once, beside the first ones of the other keys: the key and the choices."""
    first = {key: values[0] for key, values in space.items()}
    for key, values in space.items():
        for value in values:
            yield key, {**first, key: value}
