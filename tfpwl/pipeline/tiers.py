"""A bundle per kind of device from one pipeline: stages that tiers share run once, tiers are measured side by side."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tfpwl.bundle import Bundle, RuntimeHints
from tfpwl.bundle.atomic import replace_file
from tfpwl.config import PipelineConfig, RequiresConfig, TierConfig, digest, load_config
from tfpwl.errors import BundleError, ConfigError, DataError
from tfpwl.evaluate import compare_latency
from tfpwl.mix import Mix
from tfpwl.pipeline.build import PipelineRun
from tfpwl.pipeline.limits import Cost, check_limits, costs_of
from tfpwl.pipeline.profiles import choose_runtime, fit_ladder
from tfpwl.pipeline.reporter import Reporter, Silent
from tfpwl.pipeline.search import Found, TierSearch, found_before
from tfpwl.pipeline.spreading import spread
from tfpwl.pipeline.stage_names import check_stages
from tfpwl.pipeline.store import Store
from tfpwl.pipeline.workers import Workers
from tfpwl.report import (
    BuildReport,
    GateResult,
    SearchRecord,
    TierRecord,
    markdown_table,
    render_html,
    render_junit,
    tiers_sheet,
)
from tfpwl.report.reading import METRICS_NAME, read_reports
from tfpwl.runtime.tiers import DEFAULT_REQUIREMENTS, Requirements, Tiers, describe_tier, write_tiers

_ANSWERS = 200  # per tier and mix, in turn
BUNDLES, REPORTS = "bundles", "reports"


@dataclass(frozen=True)
class TierResult:
    """One tier's bundle, its report and the folder with that, and the artifacts behind them by stage."""

    bundle: Bundle
    report: BuildReport
    folder: Path
    artifacts: Mapping[str, Path]


@dataclass(frozen=True)
class TiersResult:
    """What a build of tiers left: each tier's build, and the tiers beside one another."""

    output: Path
    tiers: Mapping[str, TierResult]
    records: tuple[TierRecord, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate and limit of every tier passed."""
        return all(tier.report.passed for tier in self.tiers.values())


def build_tiers(
    config: PipelineConfig | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    tiers: Sequence[str] = (),
    start: str | None = None,
    reporter: Reporter | None = None,
    command: str | None = None,
    workers: Workers | None = None,
) -> TiersResult:
    """Build the bundles of a pipeline's tiers.

    Args:
        config: a pipeline with ``tiers:``, or the path of its YAML.
        output: folder for everything; ``runs/<name>`` by default. All tiers have one store of artifacts.
        tiers: names of those to build; all by default.
        start: run this stage and all after it again, even if they are there.
        reporter: hears of the progress; stages are called ``<tier> <stage>``.
        command: that started the build; the reports tell it.
        workers: processes that train and export, several tiers at once; this process does it by default.

    Returns:
        The tiers, with bundles in ``<output>/bundles/<tier>``, reports in ``<output>/reports/<tier>``, the tiers
        beside one another in ``<output>/tiers.md`` and what devices choose by in ``<output>/tiers.json``. Limits that
        were not kept are gates of the tier's report. A tier with ``search:`` is searched for first; its trials are in
        ``<output>/search-<tier>.json`` and ``.md``.

    Raises:
        GateError: no trial of a search can keep the limits of its tier; nothing was trained for it.
        TfpwlError: what is wrong with the configuration, the data, a model or the disk.

    Example:
        >>> result = build_tiers("pipelines/digits_tiers.yaml", tiers=["low"])           # doctest: +SKIP
        >>> result.tiers["low"].bundle.root                                              # doctest: +SKIP
        PosixPath('runs/digits_tiers/bundles/low')
    """
    if not isinstance(config, PipelineConfig):
        config = load_config(Path(config))
    if not config.tiers:
        raise ConfigError(f"The pipeline {config.name} has no `tiers:`; `tiers: default` gives it low, mid and high.")
    root = Path("runs") / config.name if output is None else Path(output)
    build = _TiersBuild(config, root, Store(root / "stages"), reporter or Silent(), command, workers)
    # In the pipeline's order, the best one last, however they are named; an unknown one is refused below.
    known = list(config.tiers)
    chosen = sorted(set(tiers), key=lambda name: known.index(name) if name in known else -1)
    return build.run(tuple(chosen) or tuple(known), start)


@dataclass(frozen=True)
class _TiersBuild:
    config: PipelineConfig
    output: Path
    store: Store
    reporter: Reporter
    command: str | None
    workers: Workers | None

    def run(self, names: Sequence[str], start: str | None) -> TiersResult:
        # All configurations first: a mistake in the last one must show before the first one trains.
        configs = {name: self._tier(name) for name in names}
        for name, config in configs.items():
            if self._section(name).search is None:  # which may find a pipeline of other stages
                check_stages(config, "evaluate", start)
        shared = PipelineRun(self.config, self.output, self.store, self.output, self.reporter)
        found = dict(self._search(names, shared))
        runs = {name: self._run(name, found[name].config if name in found else configs[name], shared) for name in names}
        if self.workers is not None:
            spread(tuple(runs.values()), self.workers, start=start, reporter=self.reporter)
        for run in runs.values():
            run.run_stages(start=start)
        latency = self._compare(runs, again=start is not None)
        costs = {name: tuple(costs_of(name, run, latency[name])) for name, run in runs.items()}
        for name, run in runs.items():
            run.runtime, costs[name] = self._on_devices(name, costs[name])
        results = {
            name: TierResult(*run.publish(self._limits(name, costs, found.get(name))), run.output, run.artifacts)
            for name, run in runs.items()
        }
        records = tuple(_record(result.report, costs[name][0], latency[name]) for name, result in results.items())
        # Two builds of other tiers in one folder read what the other one has left.
        with self.store.locked("publish-tiers"):
            self._write_tiers(results)
            self._write_reports(results, records, {name: one.record for name, one in found.items()})
        return TiersResult(self.output, results, records)

    def _search(self, names: Sequence[str], shared: PipelineRun) -> Iterator[tuple[str, Found]]:
        for name in names:
            if self._section(name).search is not None:
                yield name, TierSearch(
                    self.config, name, self.store, self.output, shared.data, _OfTier(self.reporter, name),
                    self.workers, shared.made,
                ).run()  # fmt: skip

    def _run(self, name: str, config: PipelineConfig, shared: PipelineRun) -> PipelineRun:
        run = PipelineRun(
            config, self.output / REPORTS / name, self.store, self.output / BUNDLES / name,
            _OfTier(self.reporter, name), tier=name, command=self.command, made=shared.made,
        )  # fmt: skip
        run.data = shared.data
        return run

    def _compare(self, runs: Mapping[str, PipelineRun], *, again: bool) -> dict[str, dict[str, float]]:
        """Median milliseconds of both ends of every tier's path, all measured in turn; kept, as a stage's artifact."""
        key = digest({name: run.artifacts["evaluate"].name for name, run in runs.items()})
        with self.store.produce("compare", key, again=again) as work:
            if work is not None:
                times = _measure({name: run.write_bundle(work / "bundles" / name) for name, run in runs.items()})
                shutil.rmtree(work / "bundles")
                (work / "stage.json").write_text(json.dumps(times, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        found: dict[str, dict[str, float]] = json.loads(
            (self.store.path("compare", key) / "stage.json").read_text(encoding="utf-8")
        )
        return found

    def _tier(self, name: str) -> PipelineConfig:
        config = self.config.for_tier(name)
        return fit_ladder(config, self._section(name).profiles)

    def _section(self, name: str) -> TierConfig:
        return (self.config.tiers or {})[name]

    def _on_devices(self, name: str, costs: tuple[Cost, ...]) -> tuple[RuntimeHints | None, tuple[Cost, ...]]:
        """What the tier's profiles say of the chosen precision; the latency that counts is theirs, then."""
        chosen = choose_runtime(self._section(name).profiles, costs[0].rung.partition("-")[0])
        if chosen is None:
            return None, costs
        runtime, latency_ms = chosen
        return runtime, (replace(costs[0], latency_ms=latency_ms), *costs[1:])

    def _limits(
        self, name: str, costs: Mapping[str, Sequence[Cost]], found: Found | None
    ) -> tuple[GateResult, ...]:  # fmt: skip
        every = [cost for those in costs.values() for cost in those]
        sections = {key: self._section(key).overrides for key in costs}
        limits = check_limits(self._section(name).limits, costs[name][0], every, sections)
        return limits if found is None else (found.gate, *limits)

    def _write_reports(
        self, results: Mapping[str, TierResult], records: Sequence[TierRecord], searches: Mapping[str, SearchRecord]
    ) -> None:
        """What one looks at first: the tiers beside one another; and the gates of those that were built now."""
        shown = [report for name in self.config.tiers or {} for report in self._reports(name, results)]
        texts = {
            "tiers.md": markdown_table(tiers_sheet(self.config.name, records)) + "\n",
            "junit.xml": render_junit([result.report for result in results.values()]),
            "report.html": render_html(shown, searches=searches),
        }
        for name, text in texts.items():
            replace_file(self.output / name, [text.encode()])
        # Of a build without tiers in the same folder: `tfpwl report` and `diff` would take it for this one.
        (self.output / METRICS_NAME).unlink(missing_ok=True)

    def _reports(self, name: str, results: Mapping[str, TierResult]) -> tuple[BuildReport, ...]:
        """The report of this build, or of an earlier one of this pipeline, as ``tiers.json`` has it."""
        if name in results:
            return (results[name].report,)
        if self._earlier(name, f"{BUNDLES}/{name}") is None:
            return ()
        with suppress(DataError):
            return read_reports(self.output / REPORTS / name)
        return ()

    def _write_tiers(self, results: Mapping[str, TierResult]) -> None:
        """``tiers.json`` of what was built now and what an earlier build of this pipeline left."""
        described = []
        for name, tier in (self.config.tiers or {}).items():
            place, built = f"{BUNDLES}/{name}", results.get(name)
            bundle = built.bundle if built is not None else self._earlier(name, place)
            if bundle is not None:
                described.append(describe_tier(name, bundle, place, requires=_requirements(name, tier.requires)))
        order = tuple(tier.name for tier in reversed(described))
        write_tiers(self.output / "tiers.json", Tiers(self.config.name, tuple(described), order, order[-1]))

    def _earlier(self, name: str, place: str) -> Bundle | None:
        try:
            bundle = Bundle.open(self.output / place)
        except BundleError:
            return None
        is_searched = self._section(name).search is not None
        config = found_before(self.config, name, self.output) if is_searched else self._tier(name)
        is_ours = config is not None and bundle.manifest.producer.config_sha256 == config.sha256()
        return bundle if is_ours else None


@dataclass(frozen=True)
class _OfTier:
    """A reporter that hears which tier a stage is run for."""

    reporter: Reporter
    tier: str

    def started(self, stage: str) -> None:
        self.reporter.started(f"{self.tier} {stage}")

    def waiting(self, stage: str, holder: str) -> None:
        self.reporter.waiting(f"{self.tier} {stage}", holder)

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        self.reporter.advanced(f"{self.tier} {stage}", done, total, metrics)

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        self.reporter.finished(f"{self.tier} {stage}", seconds, summary, cached=cached)


def _measure(bundles: Mapping[str, Bundle]) -> dict[str, dict[str, float]]:
    """Both ends of every path. Tiers of as many groups are measured in turn, others by themselves."""
    found: dict[str, dict[str, float]] = {}
    for num_groups in sorted({bundle.manifest.num_groups for bundle in bundles.values()}):
        alike = {name: bundle for name, bundle in bundles.items() if bundle.manifest.num_groups == num_groups}
        ends = (Mix.all_student(num_groups), Mix.all_teacher(num_groups))
        for name, times in compare_latency(alike, ends, answers=_ANSWERS).items():
            found[name] = {str(mix): round(taken.median_ms, 4) for mix, taken in times.items()}
    return found


def _record(report: BuildReport, chosen: Cost, latency: Mapping[str, float]) -> TierRecord:
    first = report.path[0]
    return TierRecord(
        name=chosen.tier, rung=chosen.rung, bundle_bytes=chosen.bundle_bytes, resident_bytes=chosen.resident_bytes,
        student_accuracy=first.accuracy or 0.0, teacher_accuracy=chosen.accuracy, student_ms=latency[first.mix],
        teacher_ms=latency[chosen.mix], passed=report.passed,
    )  # fmt: skip


def _requirements(name: str, given: RequiresConfig) -> Requirements:
    """Those of the default tier of this name, or none, with what the pipeline says."""
    return replace(DEFAULT_REQUIREMENTS.get(name, Requirements()), **given.model_dump(exclude_none=True))
