"""A tier's search: the most accurate of many configurations that keep its limits, of which most are never trained.

A trial is an ordinary run of the tier's pipeline with some values of its own: what it shares with other tiers and
trials is made once, and what was made is not made again. Sizes and times do not depend on weights, so each trial is
first outlined (:mod:`tfpwl.pipeline.outline`); what cannot keep the limits ends there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpwl.bundle.atomic import replace_file
from tfpwl.config import LIMIT_OF, PipelineConfig, SearchConfig, digest, each_value
from tfpwl.data import Dataset
from tfpwl.errors import ConfigError, GateError, TrainingError
from tfpwl.pipeline.build import PipelineRun
from tfpwl.pipeline.reporter import Reporter
from tfpwl.pipeline.spreading import spread
from tfpwl.pipeline.store import Store
from tfpwl.pipeline.trial import Trial, ladder_of
from tfpwl.pipeline.workers import Workers
from tfpwl.report import GateResult, SearchRecord, markdown_table, search_sheet

if TYPE_CHECKING:
    from tfpwl.pipeline.proposals import Proposal


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        config: the pipeline to build: of the best trial, or of the nearest one where none keeps every limit and gate.
        gate: whether it keeps them.
        record: what was tried.
    """

    config: PipelineConfig
    gate: GateResult
    record: SearchRecord


@dataclass
class TierSearch:
    """The search of one tier.

    Attributes:
        config: the pipeline with its tiers.
        tier: name of the one that is searched for.
        store: of artifacts, for all tiers.
        output: the build's folder.
        data: the data set.
        reporter: hears of the search, and of the stages that run for it, ``trial-<n> <stage>``.
        workers: processes that train, several trials at once; this process does it by default.
        made: artifacts that were made by this build.
    """

    config: PipelineConfig
    tier: str
    store: Store
    output: Path
    data: Dataset
    reporter: Reporter
    workers: Workers | None
    made: set[Path]
    _trials: list[Trial] = field(default_factory=list)
    _news: list[str] = field(default_factory=list)  # what was not there yet

    def run(self) -> Found:
        """Try what the tier's ``search:`` says, leave ``search-<tier>.json`` and ``.md``, and choose.

        Raises:
            GateError: no trial can keep the limits, and none was trained.
            MissingDependencyError: Optuna is not installed.
            TfpwlError: a trial could not be made.
        """
        from tfpwl.pipeline.proposals import BATCH, Proposals  # noqa: PLC0415 - Optuna takes half a second to import

        begun, wanted = time.perf_counter(), self._search.trials
        proposals = Proposals(self._space, self.config.seed)
        self.reporter.started("search")
        while batch := proposals.take(min(BATCH, wanted - len(self._trials))):
            for proposal, trial in zip(batch, self._try(batch), strict=True):
                proposals.judge(proposal, trial.accuracy, excess=trial.excess, failed_gates=len(trial.failed))
            self.reporter.advanced("search", len(self._trials), wanted, {})
        best = self._best()
        record = SearchRecord(self.tier, tuple(trial.record for trial in self._trials), best.number)
        found = Found(best.run.config, GateResult("search", best.keeps_all, self._verdict(best)), record)
        self._write(found)
        self.reporter.finished("search", time.perf_counter() - begun, found.gate.message, cached=not self._news)
        if best.accuracy is None:
            raise GateError(
                f"Tier {self.tier}: {found.gate.message}. No trial was trained. Raise the limit or widen "
                f"`tiers.{self.tier}.search.space`; {_file(self.output, self.tier, 'md')} has all trials."
            )
        return found

    @property
    def _search(self) -> SearchConfig:
        search = (self.config.tiers or {})[self.tier].search
        if search is None:
            raise ConfigError(f"Tier {self.tier} has no `search:`.")
        return search

    @cached_property
    def _limits(self) -> Mapping[str, float]:
        return (self.config.tiers or {})[self.tier].limits.model_dump(exclude_none=True)

    @cached_property
    def _space(self) -> Mapping[str, tuple[Any, ...]]:
        return self.config.search_space(self.tier)

    @cached_property
    def _shares_teacher(self) -> bool:
        """Whether all trials have one teacher, which is trained before them."""
        return not any(key.partition(".")[0] == "teacher" for key in self._space)

    @cached_property
    def _precisions(self) -> tuple[str, ...]:
        configs = [self.config.for_tier(self.tier, choices) for _, choices in each_value(self._space)]
        return tuple(sorted({precision for config in configs for precision in ladder_of(config)}))

    def _try(self, batch: Sequence[Proposal]) -> list[Trial]:
        """Outline all, train what may keep the limits, measure that."""
        trials = [self._outlined(proposal) for proposal in batch]
        promising = [trial for trial in trials if trial.is_promising]
        if self.workers is not None:
            with suppress(TrainingError):  # told by the trial, below
                spread([trial.run for trial in promising], self.workers, reporter=self.reporter)
        for trial in promising:
            try:
                if trial.measure():
                    self._news.append("measured")
            except TrainingError as exc:
                trial.refused = str(exc)
        self._trials += trials
        return trials

    def _outlined(self, proposal: Proposal) -> Trial:
        name = f"trial-{proposal.number}"
        refused = None
        try:
            config = self.config.for_tier(self.tier, proposal.choices)
        except ConfigError as exc:  # each value was looked at, but not with each of the others
            config, refused = self.config.for_tier(self.tier), str(exc)
        reporter = _OfTrial(self.reporter, name, self._news)
        run = PipelineRun(config, self.output, self.store, self.output, reporter, tier=name, made=self.made)
        run.data = self.data
        trial = Trial(proposal.number, proposal.choices, run, self._limits, refused=refused)
        if refused is None and trial.outline(self._precisions, shares_teacher=self._shares_teacher):
            self._news.append("outlined")
        return trial

    def _best(self) -> Trial:
        """The most accurate trial that keeps everything, else the nearest, one that was trained before all others."""
        limit = LIMIT_OF[self._search.limit]
        keeping = [trial for trial in self._trials if trial.keeps_all]
        if keeping:
            return max(keeping, key=lambda t: (t.accuracy, -t.cost.of(limit) if t.cost is not None else 0.0))
        return min(
            self._trials, key=lambda t: (t.accuracy is None, max(t.excess, 0.0), len(t.failed), -(t.accuracy or 0.0))
        )  # fmt: skip

    def _verdict(self, best: Trial) -> str:
        count, record = len(self._trials), best.record
        if not best.keeps_all:
            return (
                f"none of the {count} trials keeps every limit and gate; the nearest, {record.described}: "
                f"{'; '.join(record.misses)}"
            )
        rejected = sum(trial.accuracy is None for trial in self._trials)
        were = "was" if rejected == 1 else "were"
        return (
            f"{record.described} is the most accurate of {count}, {100 * (best.accuracy or 0.0):.2f} % on the "
            f"validation images; {rejected} could not keep the limits and {were} not trained"
        )

    def _write(self, found: Found) -> None:
        trials = found.record.trials
        content = {
            "pipeline": self.config.name, "key": _key(self.config, self.tier), "limits": self._limits,
            "space": self._space, "seed": self.config.seed, "passed": found.gate.passed,
            "choices": next(trial.choices for trial in trials if trial.number == found.record.chosen),
            **asdict(found.record),
        }  # fmt: skip
        texts = {
            "json": json.dumps(content, indent=1) + "\n",
            "md": f"{markdown_table(search_sheet(found.record))}\n\n{found.gate.message}.\n",
        }
        self.output.mkdir(parents=True, exist_ok=True)
        for kind, text in texts.items():
            replace_file(_file(self.output, self.tier, kind), [text.encode()])


def found_before(config: PipelineConfig, tier: str, output: Path) -> PipelineConfig | None:
    """The pipeline that an earlier search for this tier, with these limits and this space, has chosen."""
    try:
        found = json.loads(_file(output, tier, "json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config.for_tier(tier, found["choices"]) if found.get("key") == _key(config, tier) else None


def _key(config: PipelineConfig, tier: str) -> str:
    section, plain = (config.tiers or {})[tier], config.for_tier(tier)
    asked = {"limits": section.limits, "search": section.search, "gates": plain.gates}
    dumped = {key: None if value is None else value.model_dump(mode="json") for key, value in asked.items()}
    return digest({"pipeline": plain.sha256(), **dumped})


def _file(output: Path, tier: str, kind: str) -> Path:
    return output / f"search-{tier}.{kind}"


@dataclass(frozen=True)
class _OfTrial:
    """A reporter that hears which trial a stage is run for, and nothing of what is already there."""

    reporter: Reporter
    trial: str
    news: list[str]

    def started(self, stage: str) -> None:
        pass

    def waiting(self, stage: str, holder: str) -> None:
        self.reporter.waiting(f"{self.trial} {stage}", holder)

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        self.reporter.advanced(f"{self.trial} {stage}", done, total, metrics)

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        if not cached:
            self.news.append(stage)
            self.reporter.finished(f"{self.trial} {stage}", seconds, summary, cached=cached)
