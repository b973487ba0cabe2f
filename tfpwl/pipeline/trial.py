"""One trial of a tier's search: outlined before it is trained, then run as any pipeline, then judged."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpwl.config import PipelineConfig, digest
from tfpwl.evaluate import evaluate_mixes
from tfpwl.pipeline.build import PipelineRun
from tfpwl.pipeline.keys import outline_key
from tfpwl.pipeline.limits import Cost, costs_of, excess, misses
from tfpwl.pipeline.publishing import make_report
from tfpwl.report import GateResult, TrialRecord

# By how much an outline may miss a limit and the pair be trained all the same: two measurements of a time differ by as
# much, and while it is trained in steps a pair is pruned at other channels than before.
_MARGIN = 0.1


@dataclass
class Trial:
    """A configuration that is tried.

    Attributes:
        number: from 1.
        choices: values by dotted key of the pipeline.
        run: the tier's pipeline with them.
        limits: of the tier, by key; all but ``max_drop`` are checked before training, too.
        cost: of the outline, then of the files; None where it cannot be built.
        accuracy: of the all-teacher mix on the validation images, fraction 0..1, once it is trained.
        failed: gates of the pipeline that it does not keep.
        refused: why it cannot be built.
    """

    number: int
    choices: Mapping[str, Any]
    run: PipelineRun
    limits: Mapping[str, float]
    cost: Cost | None = None
    accuracy: float | None = None
    failed: tuple[GateResult, ...] = ()
    refused: str | None = None

    @property
    def excess(self) -> float:
        """By which share the limit that is missed most is exceeded; 0 or less where all are kept."""
        return math.inf if self.cost is None else excess(self.limits, self.cost)

    @property
    def is_promising(self) -> bool:
        """Whether it may keep the limits, by its outline."""
        return self.excess <= _MARGIN

    @property
    def keeps_all(self) -> bool:
        """Whether it was trained and keeps every limit and gate."""
        return self.accuracy is not None and self.excess <= 0 and not self.failed

    @property
    def record(self) -> TrialRecord:
        """What a report shows of it."""
        missed = () if self.cost is None else misses(self.limits, self.cost)
        gates = tuple(f"{gate.name}: {gate.message}" for gate in self.failed)
        cost = self.cost
        return TrialRecord(
            self.number, self.choices, None if cost is None else cost.rung,
            None if cost is None else cost.bundle_bytes, None if cost is None else cost.resident_bytes,
            None if cost is None else cost.latency_ms, self.accuracy,
            (*missed, *gates, *(() if self.refused is None else (self.refused,))),
        )  # fmt: skip

    def outline(self, precisions: Sequence[str], *, shares_teacher: bool) -> bool:
        """Find what the files will take. Trials that differ in nothing but their precision share an outline.

        Args:
            precisions: that any trial of the search may have.
            shares_teacher: whether the trained teacher is that of all trials; else an untrained one is taken.

        Returns:
            Whether this was measured now, rather than taken from the store.
        """
        run, teacher = self.run, None
        if shares_teacher or run.config.teacher.keras is not None:
            run.run_stages(until="train")
            teacher = run.artifacts["train"]
        key = outline_key(run.stage_keys()["export"], precisions)
        with run.store.produce("outline", key) as work:
            if work is not None:
                from tfpwl.pipeline.outline import outline  # noqa: PLC0415 - imports Keras

                kind = str(run.metrics.get("train", {}).get("output", "logits"))
                _write(work, outline(run.config, run.data, teacher, precisions, work, kind=kind))
        self._take(_read(run.store.path("outline", key)))
        return work is not None

    def _take(self, outlined: Mapping[str, Any]) -> None:
        """The precision that comes nearest to the limits, of those that this trial may have."""
        made = [_unjudged(self.run, name, outlined["files"][name]) for name in ladder_of(self.run.config)
                if name in outlined["files"]]  # fmt: skip
        if made:
            self.cost = min(made, key=lambda cost: excess(self.limits, cost))
        else:
            self.refused = "; ".join(outlined["refused"].values())

    def measure(self) -> bool:
        """Train what is not trained yet, look at limits and gates, and at images that neither looks at.

        Returns:
            Whether the images were looked at now.
        """
        run, section = self.run, self.run.config.evaluate
        run.run_stages()
        self.cost = next(costs_of(run.tier or "", run))
        gates = make_report(run.config, run.metrics, run.timings).gates
        self.failed = tuple(gate for gate in gates if not gate.passed)
        key = digest({"evaluate": run.artifacts["evaluate"].name, "images": section.limit})
        with run.store.produce("validate", key) as work:
            if work is not None:
                x, y = run.data.val.x[: section.limit], run.data.val.y[: section.limit]
                bundle, mix = run.write_bundle(work / "bundle"), run.path[-1]
                result = evaluate_mixes(bundle, run.data.preprocess(x), y, (mix,), workers=section.workers)[mix]
                shutil.rmtree(work / "bundle")
                _write(work, {"accuracy": result.accuracy})
        self.accuracy = _read(run.store.path("validate", key))["accuracy"]
        return work is not None


def ladder_of(config: PipelineConfig) -> tuple[str, ...]:
    """The precisions that a pipeline's files may get."""
    return ("fp32",) if config.quantize is None else config.quantize.ladder


def _unjudged(run: PipelineRun, precision: str, figures: Mapping[str, Any]) -> Cost:
    """A cost that only counts what is known before training."""
    return Cost(run.tier or "", precision, "", accuracy=1.0, teacher_accuracy=1.0, **figures)


def _write(work: Path, figures: Mapping[str, Any]) -> None:
    (work / "stage.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    return found
