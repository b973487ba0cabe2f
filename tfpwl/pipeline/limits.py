"""What a tier's bundle may cost, and where it costs too much, which measured configuration comes nearest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tfpwl.config import LimitsConfig
from tfpwl.mix import STUDENT, TEACHER, Mix
from tfpwl.pipeline.ladder import WHOLE, read_files
from tfpwl.report import GateResult
from tfpwl.runtime.footprint import loaded_bytes

if TYPE_CHECKING:
    from tfpwl.pipeline.build import PipelineRun


@dataclass(frozen=True, slots=True)
class Cost:
    """What one configuration costs: a tier's files at one precision, with upgrades up to one mix of the path.

    Attributes:
        tier, rung, mix: which configuration; the rung as the ladder calls it.
        bundle_bytes: of all .tflite files.
        resident_bytes: most memory that is taken on the way to ``mix``.
        latency_ms: median answer of ``mix``.
        accuracy: of ``mix``, fraction 0..1.
        teacher_accuracy: of the teacher in Keras, before pruning, fraction 0..1.
    """

    tier: str
    rung: str
    mix: str
    bundle_bytes: int
    resident_bytes: int
    latency_ms: float
    accuracy: float
    teacher_accuracy: float

    @property
    def is_whole(self) -> bool:
        """Whether upgrades go to the end."""
        return STUDENT not in self.mix

    @property
    def drop(self) -> float:
        """Points below the teacher; accuracies are counts over counts, so what differs by 1e-14 is equal."""
        return round(100.0 * (self.teacher_accuracy - self.accuracy), 9)

    def of(self, limit: str) -> float:
        """The figure that a key of ``limits:`` bounds."""
        return float(self.drop if limit == "max_drop" else getattr(self, limit))


def upgrade_bytes(files: Mapping[str, bytes], path: Sequence[Mix]) -> dict[Mix, int]:
    """Most memory that is taken on the way to each mix of a path; during a swap old and new files are both loaded.

    Args:
        files: .tflite bytes by stem.
        path: from the all-student mix on.
    """
    loaded = {stem: loaded_bytes(content) for stem, content in files.items()}
    chains = [{stem for stem in _chain(mix) if stem in files} for mix in path]
    most = sum(loaded[stem] for stem in chains[0])
    found = {path[0]: most}
    for mix, (before, after) in zip(path[1:], pairwise(chains), strict=True):
        most = max(most, sum(loaded[stem] for stem in before | after))
        found[mix] = most
    return found


def _chain(mix: Mix) -> Iterator[str]:
    for group, side in enumerate(mix):
        yield f"g{group}.{'teacher' if side == TEACHER else 'student'}"
        if group in mix.switches:
            yield f"b{group}.{'encoder' if side == TEACHER else 'decoder'}"


def costs_of(tier: str, run: PipelineRun, latency: Mapping[str, float] | None = None) -> Iterator[Cost]:
    """What a pipeline costs, first as it is, then at every other precision and with fewer upgrades.

    Args:
        tier: that it is of.
        run: its stages have run.
        latency: median milliseconds by mix that were measured later, in turn with other tiers.
    """
    measured, ladder = run.metrics["evaluate"], run.metrics.get("quantize")
    path = run.path
    rungs = [{"name": "fp32", "bytes": measured["bundle_bytes"], **measured}] if ladder is None else ladder["rungs"]
    chosen = "fp32" if ladder is None else ladder["chosen"]
    for rung in sorted((r for r in rungs if r.get("on_ladder", True)), key=lambda r: r["name"] != chosen):
        is_chosen = rung["name"] == chosen
        folder = run.artifacts["export"] if ladder is None else run.artifacts["quantize"] / rung["name"]
        files = {stem: content for stem, content in read_files(folder).items() if stem != WHOLE}
        resident = upgrade_bytes(files, path)
        for mix in reversed(path):
            taken = rung["latency_ms"][mix]
            if is_chosen and latency is not None:
                taken = latency.get(mix, taken)
            yield Cost(
                tier, rung["name"], str(mix), rung["bytes"], resident[mix], taken, rung["accuracy"][mix],
                run.metrics["train"]["test_accuracy"],
            )  # fmt: skip


def check_limits(
    limits: LimitsConfig, chosen: Cost, measured: Sequence[Cost], sections: Mapping[str, Mapping[str, Any]]
) -> tuple[GateResult, ...]:
    """How the limits that were set went.

    Args:
        limits: of the tier.
        chosen: what its bundle costs.
        measured: every configuration that is known, of other tiers, too.
        sections: what each tier changes of the pipeline.

    Returns:
        A gate ``limits.<key>`` for each; the first that failed names the nearest configuration that keeps all.
    """
    set_limits = limits.model_dump(exclude_none=True)
    results: list[GateResult] = []
    for limit, allowed in set_limits.items():
        passed = chosen.of(limit) <= allowed
        message = f"{_words(limit, chosen.of(limit))}; at most {_words(limit, allowed)} allowed"
        if not passed and all(result.passed for result in results):
            message += f". {_advice(set_limits, chosen, measured, sections)}"
        results.append(GateResult(f"limits.{limit}", passed, message))
    return tuple(results)


def _advice(
    limits: Mapping[str, float], chosen: Cost, measured: Sequence[Cost], sections: Mapping[str, Mapping[str, Any]]
) -> str:
    """What keeps all limits with the best accuracy, or comes nearest, and what to change for it."""
    keeping = [cost for cost in measured if excess(limits, cost) <= 0]
    if keeping:
        # Between equals: what changes least.
        best = max(keeping, key=lambda c: (c.accuracy, c.tier == chosen.tier, c.rung == chosen.rung))
        return f"The nearest that keeps every limit: {_describe(best)}. {_change(best, chosen, sections)}"
    nearest = min(measured, key=lambda cost: excess(limits, cost))
    over = ", ".join(misses(limits, nearest))
    return (
        f"None of the {len(measured)} configurations that were measured keeps every limit; the nearest: "
        f"{_describe(nearest)}; {over}. Prune more (`tiers.{chosen.tier}.prune.target`), take a smaller teacher or "
        "raise the limit."
    )


def excess(limits: Mapping[str, float], cost: Cost) -> float:
    """By which share the limit that is missed most is exceeded; 0 or less where all are kept."""
    return max(cost.of(limit) / allowed - 1.0 if allowed else cost.of(limit) for limit, allowed in limits.items())


def misses(limits: Mapping[str, float], cost: Cost) -> tuple[str, ...]:
    """The limits that are exceeded, in words."""
    return tuple(
        f"{_words(limit, cost.of(limit))} against {_words(limit, allowed)}"
        for limit, allowed in limits.items()
        if cost.of(limit) > allowed
    )


def _describe(cost: Cost) -> str:
    figures = (
        f"{cost.bundle_bytes:,} bytes, {cost.resident_bytes:,} resident, {cost.latency_ms:.3g} ms, "
        f"{100 * cost.accuracy:.2f} %"
    )
    return f"{cost.tier} as {cost.rung}, upgrades up to {cost.mix} ({figures})"


def _change(cost: Cost, chosen: Cost, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """What to write into the pipeline, or do in the app, to get there."""
    steps = []
    if cost.tier != chosen.tier:
        other = ", ".join(f"`{key}`" for key in sections[cost.tier]) or "nothing of its own"
        steps.append(f"give tier {chosen.tier} what tier {cost.tier} sets ({other})")
    if (cost.tier, cost.rung) != (chosen.tier, chosen.rung):
        steps.append(f"set `tiers.{chosen.tier}.quantize.ladder: [{cost.rung.partition('-')[0]}]`")
    if not cost.is_whole:
        steps.append(
            f"stop upgrades at {cost.mix} (in the app: `budget_bytes={cost.resident_bytes}` or `until={cost.mix!r}`) "
            "and raise the limit"
        )
    return f"To get there, {' and '.join(steps)}." if steps else ""


def _words(limit: str, value: float) -> str:
    if limit == "latency_ms":
        return f"{value:.3g} ms"
    if limit == "max_drop":
        return f"{value:.2f} points below the teacher"
    return f"{value:,.0f} bytes{' resident' if limit == 'resident_bytes' else ''}"
