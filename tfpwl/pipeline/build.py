"""Run a pipeline: every stage whose artifact is not there yet, then the bundle, the report and the gates."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tfpwl.bundle import Bundle, RuntimeHints
from tfpwl.config import PipelineConfig, load_config
from tfpwl.data import Dataset, load_section
from tfpwl.errors import BundleError, ConfigError
from tfpwl.mix import Mix
from tfpwl.mix import path as walk
from tfpwl.pipeline.bundling import BundleFiles, chosen_files, write_files
from tfpwl.pipeline.keys import stage_keys
from tfpwl.pipeline.ladder import WHOLE
from tfpwl.pipeline.measuring import measure, take_chosen
from tfpwl.pipeline.publishing import complete_report, make_report, write_report
from tfpwl.pipeline.quantizing import quantize
from tfpwl.pipeline.reporter import Reporter, Silent, summarize
from tfpwl.pipeline.spreading import spread
from tfpwl.pipeline.stage_names import check_stages
from tfpwl.pipeline.store import Store
from tfpwl.pipeline.workers import Workers
from tfpwl.report import BuildReport, GateResult


@dataclass(frozen=True)
class BuildResult:
    """What a build left: artifacts by stage and, when it ran to its end, the bundle and the report."""

    output: Path
    artifacts: Mapping[str, Path]
    metrics: Mapping[str, Mapping[str, Any]]
    bundle: Bundle | None = None
    report: BuildReport | None = None


def build(
    config: PipelineConfig | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    until: str = "evaluate",
    start: str | None = None,
    reporter: Reporter | None = None,
    command: str | None = None,
    workers: Workers | None = None,
) -> BuildResult:
    """Turn a pipeline into a progressive bundle.

    Args:
        config: a pipeline, or the path of its YAML.
        output: folder for everything; ``runs/<name>`` by default. Stages that are already there are not run again.
        until: the last stage to run, one of :data:`~tfpwl.pipeline.stage_names.STAGES` that the pipeline has.
        start: run this stage and all after it again, even if they are there.
        reporter: hears of the progress.
        command: that started the build; the report tells it.
        workers: processes that train and export; this process does it by default.

    Returns:
        The artifacts; with ``until="evaluate"`` also the bundle in ``<output>/bundle`` and the report, which is written
        to ``<output>/metrics.json``, ``junit.xml``, ``report.md``, ``report.html`` and ``accuracy_path.png``. Failed
        gates are in ``report.gates``.

    Raises:
        TfpwlError: what is wrong with the configuration, the data, a model or the disk.

    Example:
        >>> result = build("pipelines/digits_resnet.yaml")                       # doctest: +SKIP
        >>> result.bundle.root, result.report.passed                             # doctest: +SKIP
        (PosixPath('runs/digits_resnet/bundle'), True)
    """
    if not isinstance(config, PipelineConfig):
        config = load_config(Path(config))
    root = Path("runs") / config.name if output is None else Path(output)
    run = PipelineRun(
        config, root, Store(root / "stages"), root / "bundle", reporter or Silent(), command=command
    )  # fmt: skip
    if workers is not None:
        spread([run], workers, until=until, start=start, reporter=run.reporter)
    return run.run(until, start)


@dataclass
class PipelineRun:
    """One pipeline in the making.

    Attributes:
        config: the pipeline.
        output: folder for report, figure and metrics.
        store: where artifacts are, for other pipelines, too.
        bundle: folder for the bundle.
        reporter: hears of the progress.
        tier: the device class that the bundle is made for, if it is for one.
        command: that started the build, for the report.
        runtime: how an app shall run the bundle, where that is known better than by the configuration.
        made: artifacts that were made by this build; several pipelines of one build share the set.
        artifacts, metrics, timings: of the stages so far.
    """

    config: PipelineConfig
    output: Path
    store: Store
    bundle: Path
    reporter: Reporter
    tier: str | None = None
    command: str | None = None
    runtime: RuntimeHints | None = None
    made: set[Path] = field(default_factory=set)
    artifacts: dict[str, Path] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @cached_property
    def data(self) -> Dataset:
        return load_section(
            self.config.data, self.config.seed,
            on_progress=lambda done, total: self.reporter.advanced("data", done, total, {}),
        )  # fmt: skip

    @cached_property
    def device_data(self) -> Dataset | None:
        """What `finetune:` adapts to, if it does."""
        section = self.config.finetune
        if section is None:
            return None
        from tfpwl.pipeline.device_data import as_device_data  # noqa: PLC0415 - few pipelines need it

        return as_device_data(load_section(section.data, self.config.seed), self.data, self.config.place("finetune"))

    def run(self, until: str, start: str | None) -> BuildResult:
        """Run the stages up to ``until`` and, after the last one, publish; see :func:`build`."""
        self.run_stages(until, start)
        if until != "evaluate":
            return BuildResult(self.output, self.artifacts, self.metrics)
        bundle, report = self.publish()
        return BuildResult(self.output, self.artifacts, self.metrics, bundle, report)

    def run_stages(self, until: str = "evaluate", start: str | None = None) -> None:
        """Make the artifacts up to ``until``; those that are there are taken, before ``start``."""
        check_stages(self.config, until, start)
        self.store.clean()
        again = False
        for stage, key in self.stage_keys().items():
            again = again or stage == start
            self._stage(stage, key, self._work[stage], again=again)
            if stage == until:
                break

    def publish(self, limits: Sequence[GateResult] = ()) -> tuple[Bundle, BuildReport]:
        """Write bundle and report from what the stages left.

        Args:
            limits: gates that were checked elsewhere, behind those of the pipeline.
        """
        report = make_report(self.config, self.metrics, self.timings, limits)
        # Two builds with one output folder write the same files.
        with self.store.locked(f"publish-{self.tier or 'bundle'}"):
            return self._publish(report)

    def write_bundle(self, folder: Path) -> Bundle:
        """Write the bundle for measuring, with nothing measured in its manifest."""
        return self._write(folder, chosen_files(self.artifacts, self.metrics))

    def stage_keys(self) -> dict[str, str]:
        """The stages in their order, each with the key of its artifact."""
        collected = None if self.device_data is None else self.device_data.digest()
        return stage_keys(self.config, self.data.digest(), collected)

    @property
    def path(self) -> tuple[Mix, ...]:
        """The mixes of the bundle's path, once the stages have run."""
        return walk(self.metrics["evaluate"]["order"])

    @cached_property
    def _work(self) -> dict[str, Callable[[Path], dict[str, Any]]]:
        """What each stage does. It imports what it needs when it runs, Keras above all."""
        return {
            "train": lambda work: _stages().train(self.config, self.data, work, self._progress("train")),
            "condense": lambda work: _stages().condense(
                self.config, self.data, self.artifacts["train"], work, self._progress("condense")
            ),
            "distill": lambda work: self._distil(work, "distill", self.config.distill.method),
            "baseline": lambda work: self._distil(work, "baseline", "kd"),
            "prune": self._prune,
            "finetune": self._finetune,
            "export": lambda work: _stages().export(
                self.config, self._pair, work, self._progress("export"), self._answers
            ),
            "quantize": self._quantize,
            "evaluate": self._evaluate,
        }

    @property
    def _pair(self) -> Path:
        """The pair that files are made of."""
        return self._finished if self.config.finetune is None else self.artifacts["finetune"]

    @property
    def _finished(self) -> Path:
        """The pair before it learns from device data."""
        return self.artifacts["distill" if self.config.prune is None else "prune"]

    @property
    def _answers(self) -> str:
        """What the files answer with, ``logits`` or ``probabilities``."""
        return str(self.metrics["train"].get("output", "logits"))

    def _stage(self, stage: str, key: str, run: Callable[[Path], dict[str, Any]], *, again: bool = False) -> None:
        folder = self.store.path(stage, key)
        again = again and folder not in self.made
        cached = self.store.has(stage, key) and not again
        self.reporter.started(stage)
        begun = time.perf_counter()
        if not cached:
            with self.store.produce(
                stage, key, again=again, on_wait=lambda holder: self.reporter.waiting(stage, holder)
            ) as work:
                cached = work is None  # another build has made it while this one waited
                if work is not None:
                    metrics = run(work)
                    metrics["seconds"] = round(time.perf_counter() - begun, 1)
                    (work / "stage.json").write_text(
                        json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8"
                    )
        if not cached:
            self.made.add(folder)
        self.artifacts[stage] = folder
        self.metrics[stage] = _read_json(folder / "stage.json")
        self.timings[stage] = self.metrics[stage]["seconds"]
        taken = time.perf_counter() - begun
        self.reporter.finished(stage, taken, summarize(self.metrics[stage]), cached=cached)

    def _progress(self, stage: str) -> Callable[[int, int, Mapping[str, float]], None]:
        return lambda done, total, metrics: self.reporter.advanced(stage, done, total, metrics)

    def _distil(self, work: Path, stage: str, method: str) -> dict[str, Any]:
        return _stages().distil(
            self.config, self.data, self.artifacts["train"], work, self._progress(stage), method=method,
            templates=self.artifacts.get("condense"),
        )  # fmt: skip

    def _prune(self, work: Path) -> dict[str, Any]:
        section = self.config.prune
        if section is None:  # there is no such stage then
            raise ConfigError("This pipeline has no `prune:` section.")
        from tfpwl.pipeline.pruning import prune  # noqa: PLC0415 - imports Keras

        pair, progress = self.artifacts["distill"], self._progress("prune")
        return prune(self.config, section, self.data, pair, work=work, on_progress=progress)

    def _finetune(self, work: Path) -> dict[str, Any]:
        section, collected = self.config.finetune, self.device_data
        if section is None or collected is None:  # there is no such stage then
            raise ConfigError("This pipeline has no `finetune:` section.")
        from tfpwl.pipeline.finetuning import finetune  # noqa: PLC0415 - imports Keras

        progress = self._progress("finetune")
        return finetune(self.config, section, self.data, collected, self._finished, work=work, on_progress=progress)

    def _quantize(self, work: Path) -> dict[str, Any]:
        section = self.config.quantize
        if section is None:  # there is no such stage then
            raise ConfigError("This pipeline has no `quantize:` section.")
        return quantize(
            self.config, section, self.data, self._pair, self.artifacts["export"], kind=self._answers, work=work,
            write=lambda folder, files, precision: self._write(folder, BundleFiles(files, precision)),
            on_progress=self._progress("quantize"),
        )  # fmt: skip

    def _evaluate(self, work: Path) -> dict[str, Any]:
        bundle = self.write_bundle(work / "bundle")
        if "quantize" in self.metrics:
            metrics = take_chosen(bundle, self.metrics["quantize"])
        else:
            one_piece = (self.artifacts["export"] / f"{WHOLE}.tflite").read_bytes()
            metrics = measure(bundle, one_piece, self.config.evaluate, self.data, self._progress("evaluate"))
        shutil.rmtree(work / "bundle")
        return metrics

    def _write(self, folder: Path, files: BundleFiles, **measured: Mapping[str, float]) -> Bundle:
        return write_files(
            folder, files, self.config, self.data, kind=self._answers, tier=self.tier, runtime=self.runtime, **measured
        )  # fmt: skip

    def _publish(self, report: BuildReport) -> tuple[Bundle, BuildReport]:
        accuracy = {str(record.mix): record.accuracy for record in report.path if record.accuracy is not None}
        latency = {str(record.mix): record.latency_ms for record in report.path if record.latency_ms is not None}
        files = chosen_files(self.artifacts, self.metrics)
        bundle = self._write(self.bundle, files, accuracy=accuracy, latency_ms=latency)
        report = complete_report(report, bundle.manifest, self.config, self.command)
        write_report(self.output, report)
        return bundle, report


def _stages() -> Any:
    """The stages that need Keras: importing them takes seconds, which a build with nothing to train does not spend."""
    from tfpwl.pipeline import stages  # noqa: PLC0415

    return stages


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BundleError(f"The artifact {path} cannot be read: {exc}. Remove its folder and build again.") from exc
    if not isinstance(value, dict):
        raise BundleError(f"The artifact {path} holds {type(value).__name__}; remove its folder and build again.")
    return value
