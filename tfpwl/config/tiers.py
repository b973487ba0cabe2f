"""One pipeline, several kinds of devices: what each tier may cost, what it asks of a device, what differs for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tfpwl.config.search import LIMIT_OF, SearchConfig
from tfpwl.config.section import Points, Positive, Section

TIER_NAME = r"^[a-z0-9_-]{1,32}$"
Overrides = dict[str, Any] | None
# Sections of the pipeline that a tier may change. Data, seed and augmentation are everybody's.
CHANGEABLE = (
    "teacher", "student", "wave", "distill", "prune", "export", "quantize", "runtime", "evaluate", "gates",
)  # fmt: skip
# What a search may try: gates judge it, and what is left of a pipeline changes neither files nor accuracy.
SEARCHABLE = CHANGEABLE[: CHANGEABLE.index("runtime")]
_MIB = 1 << 20


class LimitsConfig(Section):
    """What a tier's bundle may cost; one that is not kept makes ``tfpwl build`` exit 1 after the report."""

    bundle_bytes: Positive | None = None  # of all .tflite files
    resident_bytes: Positive | None = None  # most memory on the way to the all-teacher mix, both files of a swap there
    latency_ms: Annotated[float, Field(gt=0.0)] | None = None  # median answer of the all-teacher mix
    max_drop: Points | None = None  # points of the all-teacher mix below the teacher in Keras


class RequiresConfig(Section):
    """What a tier asks of a device; what is not given is as for the default tier of that name, or nothing."""

    ram_bytes: Annotated[int, Field(ge=0)] | None = None
    cores: Annotated[int, Field(ge=1, le=1024)] | None = None
    abis: tuple[Literal["arm64-v8a", "armeabi-v7a", "x86_64", "x86"], ...] | None = None
    free_bytes: Annotated[int, Field(ge=0)] | None = None
    low_ram_allowed: bool | None = None
    performance_class: Annotated[int, Field(ge=0, le=1000)] | None = None


class TierConfig(Section):
    """A tier: limits, demands on the device, and sections of the pipeline with what differs from it.

    An override is merged into the pipeline's section key by key; ``null`` takes a whole section back to its default.
    """

    limits: LimitsConfig = LimitsConfig()
    requires: RequiresConfig = RequiresConfig()
    profiles: tuple[Path, ...] = ()  # of `tfpwl profile`: the latency is that of these devices
    search: SearchConfig | None = None  # the tier is what is written; `latency` stands for `{limit: latency}`
    teacher: Overrides = None
    student: Overrides = None
    wave: Overrides = None
    distill: Overrides = None
    prune: Overrides = None
    export: Overrides = None
    quantize: Overrides = None
    runtime: Overrides = None
    evaluate: Overrides = None
    gates: Overrides = None

    @property
    def overrides(self) -> dict[str, Overrides]:
        """The sections that were given."""
        return {key: getattr(self, key) for key in CHANGEABLE if key in self.model_fields_set}

    @pydantic.field_validator("search", mode="before")
    @classmethod
    def _only_its_limit(cls, value: Any) -> Any:
        return {"limit": value} if isinstance(value, str) else value

    @pydantic.field_validator("search")
    @classmethod
    def _has_something_to_keep(cls, search: SearchConfig | None, info: pydantic.ValidationInfo) -> SearchConfig | None:
        limits, profiles = info.data.get("limits"), info.data.get("profiles")
        if search is None or limits is None:
            return search
        if getattr(limits, key := LIMIT_OF[search.limit]) is None:
            raise ValueError(
                f"searches under the limit on {search.limit}, which is not set; add `limits: {{{key}: …}}`"
            )
        if foreign := [key for key in search.space or {} if key.partition(".")[0] not in SEARCHABLE]:
            raise ValueError(f"cannot try values of `{foreign[0]}`; expected keys of {', '.join(SEARCHABLE)}")
        if profiles:
            raise ValueError(
                "a profile has the times of one bundle, not of those that a search tries; remove `profiles` or `search`"
            )
        return search

    @pydantic.field_validator("teacher")
    @classmethod
    def _no_paths(cls, value: Overrides) -> Overrides:
        if value is not None and "keras" in value:
            raise ValueError("`keras` belongs into the pipeline's `teacher:`; tiers can prune it, not replace it")
        return value


DEFAULT_TIERS: Mapping[str, Mapping[str, Any]] = {
    "low": {
        "limits": {"bundle_bytes": 16 * _MIB, "resident_bytes": 64 * _MIB, "latency_ms": 100.0},
        "prune": {"side": "teacher", "target": {"flops": 0.5}},
        "quantize": {"ladder": ["w8", "int8"], "select": "smallest"},
    },
    "mid": {
        "limits": {"bundle_bytes": 64 * _MIB, "resident_bytes": 256 * _MIB, "latency_ms": 100.0},
        "quantize": {"ladder": ["fp16", "w8", "int8"], "select": "fastest"},
    },
    "high": {},
}


def read_tiers(value: Any) -> Any:
    """``default`` (or ``auto``) as the tiers that it stands for; a tier without keys as a mapping."""
    if value in ("default", "auto"):
        return {name: dict(tier) for name, tier in DEFAULT_TIERS.items()}
    if isinstance(value, str):
        raise ValueError(f"received {value!r}; expected `default` or a mapping of tiers, smallest first")
    if isinstance(value, dict):
        return {name: {} if tier is None else tier for name, tier in value.items()}
    return value


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``overrides`` put over it, mappings key by key.

    Example:
        >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
        {'a': {'x': 1, 'y': 3}}
    """
    result = dict(base)
    for key, value in overrides.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
