"""What a benchmark measured, as plain data; demands are made of it in :mod:`tfpwl.bench.demands`, tables elsewhere."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tfpwl.bench.rounds import RoundsResult
from tfpwl.bench.upgrade import CrowdResult, TimedAnswer, UpgradeTrace
from tfpwl.errors import DataError

FORMAT = "tfpwl-bench"
VERSION = 1

# Names of the subjects; demands and tables find them by these.
BUNDLE = "bundle"
BUNDLE_EARLY = "bundle, asked while it loads"
BUNDLE_CACHED = "bundle, warm XNNPACK cache"
BUNDLE_INTERPRETER = "bundle, Interpreter"
STUDENT = "student, one piece"
TEACHER = "teacher, one piece"
TEACHER_CACHED = "teacher, one piece, warm XNNPACK cache"
TEACHER_FP32 = "teacher, one piece, fp32"
TEACHER_FP32_CACHED = "teacher, one piece, fp32, warm XNNPACK cache"
TEACHER_INTERPRETER = "teacher, one piece, Interpreter"
TEACHER_CHAIN = "all-teacher mix"
STUDENT_CHAIN = "all-student mix"


@dataclass(frozen=True, slots=True)
class StartResult:
    """Create and first answer of one subject, one figure per fresh process.

    Attributes:
        name: of the subject.
        cold: whether the files were put out of the page cache before.
        create_ms, first_ms: times; :attr:`total_ms` is what a user waits.
        imports_ms: from the worker's first line to the moment when its code was imported; not in the other times.
        peak_growth, anonymous_growth: bytes of memory over those before opening: the peak of what was resident, and
            what is not backed by a file afterwards. None where the system does not tell.
        storage_read: bytes fetched from storage.
        resident_share: the largest share of the files that was in the page cache before, 0..1.
    """

    name: str
    cold: bool
    create_ms: tuple[float, ...]
    first_ms: tuple[float, ...]
    imports_ms: tuple[float, ...]
    peak_growth: int | None
    anonymous_growth: int | None
    storage_read: int | None
    resident_share: float | None

    @property
    def total_ms(self) -> tuple[float, ...]:
        """Create + first answer, per process."""
        return tuple(a + b for a, b in zip(self.create_ms, self.first_ms, strict=True))

    @property
    def median_ms(self) -> float:
        """Median of create + first answer."""
        return statistics.median(self.total_ms)


@dataclass(frozen=True, slots=True)
class SteadyResult:
    """Answers of one subject when everything is loaded: medians per process, percentiles over all processes."""

    name: str
    medians_ms: tuple[float, ...]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    num_answers: int


@dataclass(frozen=True, slots=True)
class UpgradeResult:
    """Upgrades in fresh processes, with answers going on.

    Attributes:
        cold: whether the files were put out of the page cache before.
        worst_ratios: per upgrade, the worst answer as a multiple of the steady median of the slower mix of its step.
        worst_ms: per upgrade, the longest answer.
        idle_worst_ratios: per upgrade, the worst answer as such a multiple when nothing loads: what the machine does.
        full_teacher_ms: per upgrade, from opening to the all-teacher mix.
        num_answers, num_over: during all upgrades, and how many took more than twice the median.
        steady_ms: median per mix of the path, the median over the processes.
        example: the answers of the first upgrade, for a picture.
    """

    cold: bool
    worst_ratios: tuple[float, ...]
    worst_ms: tuple[float, ...]
    idle_worst_ratios: tuple[float, ...]
    full_teacher_ms: tuple[float, ...]
    num_answers: int
    num_over: int
    steady_ms: dict[str, float]
    example: tuple[TimedAnswer, ...]

    @classmethod
    def of(cls, traces: Sequence[UpgradeTrace], *, cold: bool, over: float = 2.0) -> UpgradeResult:
        """Sum up traces."""
        ratios = [trace.ratios() for trace in traces]
        steady = {mix: statistics.median(trace.steady_ms[mix] for trace in traces) for mix in traces[0].steady_ms}
        return cls(
            cold=cold,
            worst_ratios=tuple(max(ratio for ratio, _ in found) for found in ratios),
            worst_ms=tuple(max(answer.taken_ms for _, answer in found) for found in ratios),
            idle_worst_ratios=tuple(
                max(trace.steady_worst_ms[mix] / trace.steady_ms[mix] for mix in trace.steady_ms) for trace in traces
            ),
            full_teacher_ms=tuple(trace.full_teacher_ms for trace in traces),
            num_answers=sum(map(len, ratios)),
            num_over=sum(ratio > over for found in ratios for ratio, _ in found),
            steady_ms=steady,
            example=traces[0].answers,
        )


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured. ``stolen`` is the share of CPU time that other virtual machines took, 0..1."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    litert: str
    load_before: float
    stolen: float | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All of one run of the benchmark on one bundle.

    Attributes:
        bundle, name, precision, engine, threads: what was measured, and how.
        student_bytes, teacher_bytes: of the files of the all-student and the all-teacher mix.
        path: mixes and accuracies (0..1, None where not measured) of the manifest's path.
        repeats: fresh processes per figure.
        starts, steady, upgrades, crowd, rounds: the measurements; None or empty where they were not asked for.
        differences: largest absolute difference of the answers of a chain and the model in one piece.
        notes: what a reader has to know about this run.
    """

    bundle: str
    name: str
    precision: str
    engine: str
    threads: int
    student_bytes: int
    teacher_bytes: int
    path: tuple[tuple[str, float | None], ...]
    repeats: int
    machine: Machine
    starts: tuple[StartResult, ...] = ()
    steady: tuple[SteadyResult, ...] = ()
    upgrades: tuple[UpgradeResult, ...] = ()
    crowd: CrowdResult | None = None
    rounds: RoundsResult | None = None
    differences: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def start(self, name: str, *, cold: bool) -> StartResult | None:
        """The start of a subject, or None if it was not measured."""
        return next((s for s in self.starts if s.name == name and s.cold == cold), None)

    def steady_of(self, name: str) -> SteadyResult | None:
        """The answers of a subject, or None if it was not measured."""
        return next((s for s in self.steady if s.name == name), None)

    def to_json(self) -> str:
        """The result as JSON, raw figures included."""
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> BenchResult:
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: the text is no result of this version.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if (fields.pop("format"), fields.pop("version")) != (FORMAT, VERSION):
                raise ValueError("another format or version")
            fields.pop("demands", None)  # judged anew from the figures
            return cls(**{**fields, **_read_parts(fields)})
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise DataError(f"This is no result of `tfpwl bench --json` of this version: {exc}. Run it again.") from exc


def _read_parts(fields: dict[str, Any]) -> dict[str, Any]:
    def upgrade(one: dict[str, Any]) -> UpgradeResult:
        return UpgradeResult(**{**_tuples(one), "example": tuple(TimedAnswer(**a) for a in one["example"])})

    crowd, rounds = fields["crowd"], fields["rounds"]
    return {
        "path": tuple((mix, accuracy) for mix, accuracy in fields["path"]),
        "machine": Machine(**fields["machine"]),
        "starts": tuple(StartResult(**_tuples(one)) for one in fields["starts"]),
        "steady": tuple(SteadyResult(**_tuples(one)) for one in fields["steady"]),
        "upgrades": tuple(map(upgrade, fields["upgrades"])),
        "crowd": None if crowd is None else CrowdResult(**crowd),
        "rounds": None if rounds is None else RoundsResult(**_tuples(rounds)),
        "notes": tuple(fields["notes"]),
    }


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` (0..1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
