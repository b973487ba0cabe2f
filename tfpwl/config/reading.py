"""YAML to typed sections; what it does not know it refuses, with the line and a hint."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic import BaseModel

from tfpwl.config.section import Loc, Section
from tfpwl.errors import ConfigError

AnySection = TypeVar("AnySection", bound=Section)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_as(schema: type[AnySection], path: Path, overrides: Sequence[str] = ()) -> AnySection:
    """Read a YAML file as a configuration of type ``schema``; see :func:`tfpwl.config.load_config`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigError(f"No such pipeline: {path}. `tfpwl init` writes one.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"Cannot read the pipeline {path}: {exc}") from exc
    return _resolve(parse_as(schema, text, source=str(path), overrides=overrides), path.parent)


def parse_as(
    schema: type[AnySection], text: str, *, source: str = "<text>", overrides: Sequence[str] = ()
) -> AnySection:
    """Parse YAML text as a configuration of type ``schema``; see :func:`load_as`."""
    data, places = _read_yaml(text, source)
    for override in overrides:
        loc = _apply_override(data, override)
        places = {known: place for known, place in places.items() if known[: len(loc)] != loc}
        places[loc] = f"--set {override}"
    return validate_as(schema, data, source=source, places=places)


def validate_as(
    schema: type[AnySection], data: Mapping[str, Any], *, source: str = "<config>",
    places: Mapping[Loc, str] | None = None,
) -> AnySection:  # fmt: skip
    """Turn plain data into a configuration, or raise a ConfigError that names every mistake."""
    try:
        made = schema.model_validate(data)
    except pydantic.ValidationError as exc:
        problems = [_describe(error, source, places or {}, schema) for error in exc.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from exc
    made.remember(places or {})
    return made


def _resolve(section: AnySection, base: Path) -> AnySection:
    """The section with every path in it taken from the folder ``base``."""
    found: dict[str, Any] = {}
    for key in type(section).model_fields:
        value = getattr(section, key)
        resolved = _resolve_value(value, base)
        if resolved is not value:
            found[key] = resolved
    return section.model_copy(update=found)


def _resolve_value(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, Section):
        return _resolve(value, base)
    if isinstance(value, tuple) and any(isinstance(one, Path) for one in value):
        return tuple(_resolve_value(one, base) for one in value)
    if isinstance(value, dict) and any(isinstance(one, Section) for one in value.values()):
        return {key: _resolve_value(one, base) for key, one in value.items()}
    return value


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-5 as a number, as YAML 1.2 does (YAML 1.1 wants 1.0e-5)."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as exc:  # such as 2026-13-01
            problem = f"{node.value!r} looks like a date or a number and is none ({exc}); put it into quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from exc


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _read_yaml(text: str, source: str) -> tuple[dict[str, Any], dict[Loc, str]]:
    """The data, and for each key its place in the text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)
        places: dict[Loc, str] = {}
        if node is not None:
            _collect_places(node, (), places, source)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{source} is not valid YAML: {exc}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{source} is nested too deeply to be a pipeline.") from exc
    if not isinstance(data, dict) or node is None:
        received = type(data).__name__
        raise ConfigError(f"{source}: received {received}; expected a mapping with `name:`, `data:`, `teacher:`")
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
        return f"{place}: unknown key `{dotted}`{hint_at_key(loc, schema)}"
    if error["type"] == "missing":
        return f"{place}: key `{dotted}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    received = "" if error["type"] == "value_error" else f" (received {error['input']!r})"
    return f"{place}: `{dotted}`: {message}{received}"


def hint_at_key(loc: Loc, schema: type[BaseModel]) -> str:
    """What may have been meant by a key that ``schema`` does not have at its place."""
    names = sorted(_keys_at(loc[:-1], schema))
    close = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known keys: {', '.join(names)}"


def _keys_at(loc: Loc, schema: type[BaseModel]) -> list[str]:
    section = schema
    for part in loc:
        # A tier's override has the keys of the pipeline's section of that name. Other parts are a place in a list, or a
        # name that the user chose: the section was found with the key before them.
        holders = [holder.model_fields[part] for holder in (section, schema) if part in holder.model_fields]
        found = (_section_in(field.annotation) for field in holders)
        section = next((one for one in found if one is not None), section)
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as ``X | None`` or ``tuple[X, ...]`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_section_in(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inside if found is not None), None)
