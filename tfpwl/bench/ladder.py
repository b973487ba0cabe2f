"""What a boundary costs: one model in one piece and cut into more and more groups, answering in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tfpwl.bench.run import run_worker
from tfpwl.bench.subjects import Subject
from tfpwl.bundle import Bundle
from tfpwl.errors import DataError
from tfpwl.runtime import make_engine

_WHOLE = "one piece"


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One cut of the model.

    Attributes:
        num_groups: that it is cut into.
        median_ms: of one answer, the median over the processes.
        boundary_us: microseconds more than in one piece, per boundary; one figure per process.
    """

    num_groups: int
    median_ms: float
    boundary_us: tuple[float, ...]

    @property
    def median_boundary_us(self) -> float:
        """What a boundary costs."""
        return statistics.median(self.boundary_us)


@dataclass(frozen=True, slots=True)
class LadderResult:
    """All cuts of one model; ``whole_ms`` is one answer in one piece."""

    name: str
    engine: str
    whole_ms: float
    steps: tuple[LadderStep, ...]


def measure_ladder(
    bundles: Sequence[Bundle],
    whole: Path,
    *,
    repeats: int = 20,
    seconds: float = 1.0,
    engine: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> LadderResult:
    """Measure the all-teacher mixes of bundles of the same teacher, cut differently, against it in one piece.

    Args:
        bundles: the cuts.
        whole: the teacher as one file.
        repeats: fresh processes; each has all cuts answer in turn.
        seconds: per cut and process.
        engine: by name; the best one here by default.
        on_progress: called with ``(processes done, processes in all)``.

    Raises:
        DataError: a cut answers something else than the model in one piece.
        TfpwlError: a measurement failed.
    """
    name = make_engine(engine).name
    subjects = [Subject(_WHOLE, str(whole), name)]
    subjects += [
        Subject(str(b.manifest.num_groups), str(b.root), name, is_bundle=True, mix="T" * b.manifest.num_groups)
        for b in bundles
    ]
    spec = bundles[0].manifest.input
    task = {"task": "steady", "shape": list(spec.shape), "dtype": spec.dtype, "seconds": seconds,
            "compare": [(subject.name, _WHOLE) for subject in subjects[1:]]}  # fmt: skip
    medians: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(repeats):
        turned = subjects[number % len(subjects) :] + subjects[: number % len(subjects)]
        found = run_worker({**task, "subjects": [asdict(subject) for subject in turned]})
        # Operators at a cut see other neighbours, so the last digits of a float may differ; a wrong model would differ
        # by its answers' size.
        worst = max(found["differences"].values())
        if worst > 1e-3:
            raise DataError(f"A cut answers something else than {whole} (difference {worst:.2g}). Make them again.")
        for which, taken in found["taken_ms"].items():
            medians[which].append(statistics.median(taken))
        if on_progress is not None:
            on_progress(number + 1, repeats)
    steps = [_step(b.manifest.num_groups, medians[str(b.manifest.num_groups)], medians[_WHOLE]) for b in bundles]
    return LadderResult(bundles[0].manifest.name, name, statistics.median(medians[_WHOLE]), tuple(steps))


def _step(num_groups: int, chain: Sequence[float], whole: Sequence[float]) -> LadderStep:
    per_boundary = tuple(1e3 * (a - b) / (num_groups - 1) for a, b in zip(chain, whole, strict=True))
    return LadderStep(num_groups, statistics.median(chain), per_boundary)
