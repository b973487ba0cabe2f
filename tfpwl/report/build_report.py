"""What a build measured, as plain data; rendering it is the business of the modules beside this one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from tfpwl import mix as mixes
from tfpwl.errors import DataError
from tfpwl.mix import Mix
from tfpwl.report.finetuning import FinetuneRecord
from tfpwl.report.pruning import PruneRecord
from tfpwl.report.rungs import RungRecord
from tfpwl.report.sizes import GroupSizes

FORMAT = "tfpwl-metrics"
VERSION = 2
# Version 1 had no groups, environment, config, command and tier; so that `tfpwl diff` can compare with older runs.
_READABLE = (1, 2)


@dataclass(frozen=True, slots=True)
class MixRecord:
    """One mix as measured through its files.

    Attributes:
        mix: which side runs in each group.
        bytes: of the files that the mix needs, converters included.
        accuracy: fraction 0..1 of the test set, None where it was not measured.
        latency_ms: median milliseconds of one answer, None where it was not measured.
    """

    mix: Mix
    bytes: int
    accuracy: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """A quality gate and how it went; ``message`` has the measured value and the limit."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class BuildReport:
    """All figures of one build.

    Attributes:
        name: of the pipeline.
        num_groups: N.
        order: in which teacher groups replace student groups.
        mixes: the measured mixes, the whole path at least.
        student_params, teacher_params: numbers of parameters.
        teacher_accuracy: of the teacher in Keras, fraction 0..1.
        kd_accuracy: of the same student trained by plain distillation, fraction 0..1.
        teacher_difference: largest absolute difference between the all-teacher chain and the one-piece teacher.
        num_test_images: behind each accuracy.
        images_per_s: of the distillation.
        timings_s: seconds per stage.
        gates: quality gates, in the order of the configuration.
        precision: of the bundle's files.
        rungs: of the precision ladder, if there was one.
        choice: why the ladder's rung was chosen.
        notes: what went another way than configured, one sentence each.
        pruning: sizes and accuracy before and after each step, if the pair was pruned.
        finetuning: accuracy of each mix of the path before and after, if the pair learned from device data.
        tier: device class of the bundle, where the pipeline has tiers.
        groups: bytes of each group's files.
        environment: machine and versions, by what they are.
        config: the pipeline's configuration as plain data.
        command: that made the report.

    Raises:
        ValueError: when a mix of the path is missing, or a mix has not one letter per group.

    Example:
        >>> report = BuildReport(name="demo", num_groups=1, order=(0,),
        ...                      mixes=(MixRecord(Mix("S"), 100, 0.8), MixRecord(Mix("T"), 900, 0.9)))
        >>> [round(100 * step, 1) for step in report.steps if step is not None]
        [10.0]
    """

    name: str
    num_groups: int
    order: tuple[int, ...]
    mixes: tuple[MixRecord, ...]
    student_params: int | None = None
    teacher_params: int | None = None
    teacher_accuracy: float | None = None
    kd_accuracy: float | None = None
    teacher_difference: float | None = None
    num_test_images: int | None = None
    images_per_s: float | None = None
    timings_s: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    precision: str = "fp32"
    rungs: tuple[RungRecord, ...] = ()
    choice: str | None = None
    notes: tuple[str, ...] = ()
    pruning: tuple[PruneRecord, ...] = ()
    finetuning: tuple[FinetuneRecord, ...] = ()
    tier: str | None = None
    groups: tuple[GroupSizes, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None

    def __post_init__(self) -> None:
        wrong = [record.mix for record in self.mixes if len(record.mix) != self.num_groups]
        if wrong or len(self.order) != self.num_groups:
            raise ValueError(
                f"Received the mixes {[str(m) for m in wrong]} and the order {list(self.order)} for "
                f"{self.num_groups} groups; expected one letter and one index per group."
            )
        missing = [str(m) for m in mixes.path(self.order) if m not in {record.mix for record in self.mixes}]
        if missing:
            raise ValueError(f"The mixes {missing} of the path are missing from the report; evaluate the whole path.")

    def record(self, mix: str) -> MixRecord:
        """What was measured for ``mix``.

        Raises:
            KeyError: when that mix was not measured.
        """
        return {r.mix: r for r in self.mixes}[Mix(mix)]

    @property
    def path(self) -> tuple[MixRecord, ...]:
        """The records of the path, all student first."""
        return tuple(self.record(mix) for mix in mixes.path(self.order))

    @property
    def off_path(self) -> tuple[MixRecord, ...]:
        """The records of all other mixes."""
        on_path = set(mixes.path(self.order))
        return tuple(r for r in self.mixes if r.mix not in on_path)

    @property
    def steps(self) -> tuple[float | None, ...]:
        """Change of accuracy (fraction) at each step of the path, None for its first mix."""
        path = self.path
        return (None, *(_difference(now, before) for before, now in pairwise(path)))

    @property
    def label(self) -> str:
        """What to call the run beside others: name and tier."""
        return self.name if self.tier is None else f"{self.name}, {self.tier}"

    @property
    def bundle_bytes(self) -> int | None:
        """Of all files together, None where the sizes of the groups are not known."""
        return sum(group.total for group in self.groups) if self.groups else None

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)

    def to_json(self) -> str:
        """The text of ``metrics.json``: versioned, sorted keys, so that equal reports are equal bytes."""
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> BuildReport:
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: when the text is no report of this version.
        """
        try:
            fields = json.loads(text)
        except ValueError as exc:
            raise DataError(f"The metrics are not JSON: {exc}. Run the evaluation again to write them anew.") from exc
        found = (fields.pop("format", None), fields.pop("version", None)) if isinstance(fields, dict) else None
        if found not in [(FORMAT, version) for version in _READABLE]:
            raise DataError(
                f"Received metrics of format {found}; expected {FORMAT!r}, version "
                f"{' or '.join(map(str, _READABLE))}. Build again."
            )
        try:
            return cls._from_fields(fields)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise DataError(f"The metrics break their format: {exc}. Run the evaluation again.") from exc

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> BuildReport:
        fields["order"] = tuple(fields["order"])
        fields["mixes"] = tuple(_read_records(fields["mixes"]))
        fields["gates"] = tuple(GateResult(**gate) for gate in fields["gates"])
        fields["rungs"] = tuple(map(RungRecord.from_metrics, fields.get("rungs", ())))
        fields["notes"] = tuple(fields.get("notes", ()))
        fields["pruning"] = tuple(PruneRecord(**one) for one in fields.get("pruning", ()))
        fields["finetuning"] = tuple(FinetuneRecord(**one) for one in fields.get("finetuning", ()))
        fields["groups"] = tuple(GroupSizes(**group) for group in fields.get("groups", ()))
        return cls(**fields)


def _read_records(entries: Iterable[dict[str, Any]]) -> Iterable[MixRecord]:
    for entry in entries:
        yield MixRecord(**{**entry, "mix": Mix(entry["mix"])})


def _difference(now: MixRecord, before: MixRecord) -> float | None:
    if now.accuracy is None or before.accuracy is None:
        return None
    return now.accuracy - before.accuracy
