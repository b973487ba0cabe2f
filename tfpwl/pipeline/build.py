"""Run a pipeline: every stage whose artifact is not there yet, then the bundle, the report and the gates."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import tfpwl
from tfpwl.bundle import Bundle, Producer, RuntimeHints, write_bundle
from tfpwl.config import PipelineConfig, digest, load_config
from tfpwl.data import Dataset, load_section
from tfpwl.errors import BundleError, ConfigError
from tfpwl.evaluate import MAX_GROUPS_FOR_ALL_MIXES, evaluate_mixes, measure_latency, teacher_difference
from tfpwl.mix import Mix, all_mixes, prefix_order
from tfpwl.mix import path as walk
from tfpwl.pipeline.backend import keras_backend
from tfpwl.pipeline.gates import check_gates
from tfpwl.pipeline.ladder import WHOLE, Ladder, Rebuilt, Remedy, manifest_entry, read_files, rung_metrics
from tfpwl.pipeline.publishing import complete_report, write_report
from tfpwl.pipeline.reporter import Reporter, Silent
from tfpwl.pipeline.spreading import spread
from tfpwl.pipeline.store import CHECKPOINT, Store
from tfpwl.pipeline.teacher_file import describe_teacher
from tfpwl.pipeline.workers import Workers
from tfpwl.report import BuildReport, FinetuneRecord, GateResult, MixRecord, PruneRecord, RungRecord

STAGES = ("train", "condense", "distill", "baseline", "prune", "finetune", "export", "quantize", "evaluate")
_DIFFERENCE_IMAGES = 100
_TRAINING_CODE = ("augment", "fused", "models", "pairs", "training")


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
        until: the last stage to run: ``train``, ``distill``, ``export``, ``quantize`` or ``evaluate``.
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
    for stage in (until, start):
        if stage is not None and stage not in STAGES:
            raise ConfigError(f"Received stage {stage!r}; expected one of {', '.join(STAGES)}.")
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
        keys, work_of = self._keys(), self._work()
        stages = list(work_of)
        for stage in (until, start):
            if stage is not None and stage not in stages:
                raise ConfigError(f"Received stage {stage!r}; this pipeline has {', '.join(stages)}.")
        if start is not None and stages.index(start) > stages.index(until):
            raise ConfigError(f"Received --from {start}, which comes after {until}, the last stage of this command.")
        self.store.clean()
        again = () if start is None else stages[stages.index(start) :]
        for stage, work in work_of.items():
            self._stage(stage, keys[stage], work, again=stage in again)
            if stage == until:
                break

    def publish(self, limits: Sequence[GateResult] = ()) -> tuple[Bundle, BuildReport]:
        """Write bundle and report from what the stages left.

        Args:
            limits: gates that were checked elsewhere, behind those of the pipeline.
        """
        report = self._report()
        report = replace(report, gates=(*report.gates, *limits))
        # Two builds with one output folder write the same files.
        with self.store.locked(f"publish-{self.tier or 'bundle'}"):
            return self._publish(report)

    def write_bundle(self, folder: Path) -> Bundle:
        """Write the bundle for measuring, with nothing measured in its manifest."""
        return self._write_bundle(folder, {}, {})

    def stage_keys(self) -> dict[str, str]:
        """The stages in their order, each with the key of its artifact."""
        keys = self._keys()
        return {stage: keys[stage] for stage in self._work()}

    @property
    def path(self) -> tuple[Mix, ...]:
        """The mixes of the bundle's path, once the stages have run."""
        return walk(self.metrics["evaluate"]["order"])

    def _keys(self) -> dict[str, str]:
        """A key per stage: what it is made from. An unchanged key means an unchanged artifact."""
        c = self.config.model_dump(mode="json")
        base = {
            "versions": _versions(),
            "code": _code(*_TRAINING_CODE),
            "data": self.data.digest(),
            "seed": c["seed"],
            "augment": c["data"]["augment"],
        }
        train = digest({**base, "teacher": describe_teacher(self.config)})
        condense = digest({"train": train, "student": c["student"], "wave": c["wave"], "code": _code("wave")})
        student = {"train": train, "student": c["student"], "code": _code("distill", "mix")}
        if self.config.student.init != "fresh":
            student["start"] = condense
        if self.config.student.derive is not None:
            student["derive"] = _code("prune", "pipeline/pairing")
        settings = {k: v for k, v in c["distill"].items() if k not in ("method", "baseline")}
        distill = digest({**student, "distill": settings, "method": c["distill"]["method"]})
        baseline = digest({**student, "distill": settings, "method": "kd"})
        prune = digest({"distill": distill, "prune": c["prune"], "code": _code("prune", "pipeline/pruning")})
        pair = distill if self.config.prune is None else prune
        collected = None if self.device_data is None else self.device_data.digest()
        finetune = digest(
            {
                "pair": pair,
                "data": collected,
                "finetune": {k: v for k, v in (c["finetune"] or {}).items() if k != "data"},
                "distill": settings,
                "code": _code("distill", "pipeline/finetuning", "pipeline/device_data"),
            }
        )
        export = digest(
            {
                "distill": pair if self.config.finetune is None else finetune,
                "export": c["export"]["batch"],
                "tensorflow": _version("tensorflow"),
                "code": _code("export", "xnnpack", "pipeline/output"),
            }
        )
        measured = {
            "export": export,
            "evaluate": {k: c["evaluate"][k] for k in ("mixes", "limit")},
            "ai-edge-litert": _version("ai-edge-litert"),
            "code": _code("evaluate", "bundle", "runtime"),
        }
        quantize = digest(
            {
                **measured,
                "quantize": c["quantize"],
                "litert-quantizer": _version("litert-quantizer"),
                "ladder": _code("quantize", "pipeline/ladder"),
            }
        )
        evaluate = digest(measured if self.config.quantize is None else {**measured, "quantize": quantize})
        keys = (train, condense, distill, baseline, prune, finetune, export, quantize, evaluate)
        return dict(zip(STAGES, keys, strict=True))

    def _work(self) -> dict[str, Callable[[Path], dict[str, Any]]]:
        """The stages to run, in order. Each imports what it needs when it runs, Keras above all."""
        steps: dict[str, Callable[[Path], dict[str, Any]]] = {
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
            "evaluate": self._evaluate if self.config.quantize is None else self._evaluate_chosen,
        }
        if self.config.student.init != "wave":
            del steps["condense"]
        if not self.config.distill.baseline:
            del steps["baseline"]
        for stage in ("prune", "finetune"):
            if getattr(self.config, stage) is None:
                del steps[stage]
        if self.config.quantize is None:
            del steps["quantize"]
        return steps

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
                    (work / "stage.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
        self.made.add(folder)
        self.artifacts[stage] = folder
        self.metrics[stage] = _read_json(folder / "stage.json")
        self.timings[stage] = self.metrics[stage]["seconds"]
        taken = time.perf_counter() - begun
        self.reporter.finished(stage, taken, _summary(self.metrics[stage]), cached=cached)

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

    def _write_bundle(
        self,
        folder: Path,
        accuracy: Mapping[str, float],
        latency: Mapping[str, float],
        *,
        files: Mapping[str, bytes] | None = None,
        precision: str = "fp32",
    ) -> Bundle:
        """The bundle of ``files``, by default of the chosen rung's, which is the export where there is no ladder."""
        chosen = None
        if files is None and "quantize" in self.metrics:
            chosen = manifest_entry(self.metrics["quantize"])
            precision = chosen.chosen
            files = read_files(self.artifacts["quantize"] / self.metrics["quantize"]["chosen"])
        elif files is None:
            files = read_files(self.artifacts["export"])
        runtime = self.runtime or RuntimeHints(self.config.runtime.threads, self.config.runtime.delegate)
        return write_bundle(
            folder, files={stem: model for stem, model in files.items() if stem != WHOLE}, name=self.config.name,
            precision=precision, producer=Producer(tfpwl.__version__, _version("tensorflow"), self.config.sha256()),
            preprocess=self.data.preprocess, kind=self._answers, labels=self.data.labels, accuracy=accuracy,
            latency_ms=latency,
            quantization=chosen, tier=self.tier, runtime=runtime,
        )  # fmt: skip

    def _quantize(self, work: Path) -> dict[str, Any]:
        section = self.config.quantize
        if section is None:  # there is no such stage then
            raise ConfigError("This pipeline has no `quantize:` section.")
        files = read_files(self.artifacts["export"])
        path = walk(prefix_order(sum(stem.endswith(".student") for stem in files)))
        ladder = Ladder(
            config=section, data=self.data, files=files, path=path,
            mixes=path if self.config.evaluate.mixes == "path" else _all_or_path(path), work=work,
            write=lambda folder, files, precision: self._write_bundle(
                folder, {}, {}, files=files, precision=precision
            ),
            seed=self.config.seed, limit=self.config.evaluate.limit, workers=self.config.evaluate.workers,
            on_progress=self._progress("quantize"),
        )  # fmt: skip

        return ladder.run(self._remedies(ladder))

    def _remedies(self, ladder: Ladder) -> list[Remedy]:
        """Equalization costs seconds and no accuracy; training comes after it, on what it gave."""
        pair, path, balanced = self._pair, ladder.path, ladder.folder_of("equalized")

        def train(work: Path) -> Rebuilt:
            return _stages().tuned(
                self.config, self.data, balanced if balanced.is_dir() else pair, path, work, kind=self._answers,
                checkpoint=ladder.work / CHECKPOINT, on_progress=self._progress("quantize"),
            )  # fmt: skip

        def balance(work: Path) -> Rebuilt:
            return _stages().equalized(self.config, self.data, pair, path, work, kind=self._answers)

        equalized = Remedy("equalized", balance)
        return [equalized] if ladder.config.qat is None else [equalized, Remedy("qat", train)]

    def _evaluate_chosen(self, work: Path) -> dict[str, Any]:
        """What the ladder has measured of the rung that it chose."""
        bundle = self._write_bundle(work / "bundle", {}, {})
        measured = self.metrics["quantize"]
        rung = rung_metrics(measured)
        shutil.rmtree(work / "bundle")
        return {
            "accuracy": rung["accuracy"],
            "mix_bytes": {mix: bundle.mix_bytes(mix) for mix in rung["accuracy"]},
            "bundle_bytes": rung["bytes"],
            "order": list(bundle.manifest.order),
            "latency_ms": rung["latency_ms"],
            "teacher_difference": rung["teacher_difference"],
            "num_test_images": measured["num_test_images"],
        }

    def _evaluate(self, work: Path) -> dict[str, Any]:
        limit = self.config.evaluate.limit
        x, y = self.data.preprocess(self.data.test.x[:limit]), self.data.test.y[:limit]
        bundle = self._write_bundle(work / "bundle", {}, {})
        mixes = walk(bundle.manifest.order) if self.config.evaluate.mixes == "path" else None
        progress = self._progress("evaluate")
        results = evaluate_mixes(
            bundle, x, y, mixes, workers=self.config.evaluate.workers,
            on_progress=lambda done, total: progress(done, total, {}),
        )  # fmt: skip
        one_piece = (self.artifacts["export"] / f"{WHOLE}.tflite").read_bytes()
        metrics: dict[str, Any] = {
            "accuracy": {mix: result.accuracy for mix, result in results.items()},
            "mix_bytes": {mix: bundle.mix_bytes(mix) for mix in results},
            "bundle_bytes": sum(entry.bytes for entry in bundle.files()),
            "order": list(bundle.manifest.order),
            "latency_ms": {mix: round(ms, 4) for mix, ms in measure_latency(bundle, tuple(results)).items()},
            "teacher_difference": teacher_difference(bundle, one_piece, x[:_DIFFERENCE_IMAGES]),
            "num_test_images": len(x),
        }
        shutil.rmtree(work / "bundle")
        return metrics

    def _report(self) -> BuildReport:
        teacher, student, measured = self.metrics["train"], self.metrics["distill"], self.metrics["evaluate"]
        notes = (*teacher.get("notes", ()), *student.get("notes", ()))
        pruned, tuned = self.metrics.get("prune"), self.metrics.get("finetune")
        for changed in (pruned, tuned):
            if changed is not None:
                teacher, student = {**teacher, **changed["teacher"]}, changed
        records = tuple(
            MixRecord(Mix(mix), measured["mix_bytes"][mix], accuracy, measured["latency_ms"][mix])
            for mix, accuracy in sorted(measured["accuracy"].items())
        )
        report = BuildReport(
            name=self.config.name, num_groups=len(measured["order"]), order=tuple(measured["order"]), mixes=records,
            student_params=student["parameters"], teacher_params=teacher["parameters"],
            teacher_accuracy=teacher["test_accuracy"],
            kd_accuracy=self.metrics["baseline"]["test_accuracy"] if "baseline" in self.metrics else None,
            teacher_difference=measured["teacher_difference"], num_test_images=measured["num_test_images"],
            images_per_s=student["images_per_second"], timings_s=self.timings, notes=notes,
            pruning=() if pruned is None else tuple(PruneRecord(**step) for step in pruned["steps"]),
            finetuning=() if tuned is None else tuple(FinetuneRecord(**mix) for mix in tuned["mixes"]),
        )  # fmt: skip
        if (ladder := self.metrics.get("quantize")) is not None:
            report = replace(
                report, precision=rung_metrics(ladder)["precision"], choice=ladder["reason"],
                rungs=tuple(RungRecord.from_metrics(rung, ladder["chosen"]) for rung in ladder["rungs"]),
                notes=(*notes, *ladder["notes"]),
            )  # fmt: skip
        gates = check_gates(self.config.gates, report, measured["bundle_bytes"])
        if ladder is not None:
            gates = (*gates, _ladder_gate(ladder))
        return replace(report, gates=gates)

    def _publish(self, report: BuildReport) -> tuple[Bundle, BuildReport]:
        accuracy = {str(record.mix): record.accuracy for record in report.path if record.accuracy is not None}
        latency = {str(record.mix): record.latency_ms for record in report.path if record.latency_ms is not None}
        bundle = self._write_bundle(self.bundle, accuracy, latency)
        report = complete_report(report, bundle.manifest, self.config, self.command)
        write_report(self.output, report)
        return bundle, report


def _stages() -> Any:
    """The stages that need Keras: importing them takes seconds, which a build with nothing to train does not spend."""
    from tfpwl.pipeline import stages  # noqa: PLC0415

    return stages


def _ladder_gate(ladder: Mapping[str, Any]) -> GateResult:
    chosen, limit = rung_metrics(ladder), f"at most {ladder['max_drop']:g} allowed"
    found = f"{chosen['name']} loses {max(0.0, chosen['drop']):.2f} points on {chosen['worst_mix']}"
    best = "" if ladder["passed"] else ", the least of all rungs"
    return GateResult("quantize.max_drop", ladder["passed"], f"{found}{best}; {limit}")


def _all_or_path(path: Sequence[Mix]) -> Sequence[Mix]:
    """All mixes of a pair of few groups, else those of the path; as :func:`tfpwl.evaluate.evaluate_mixes` chooses."""
    num_groups = len(path) - 1
    return all_mixes(num_groups) if num_groups <= MAX_GROUPS_FOR_ALL_MIXES else path


def _summary(metrics: Mapping[str, Any]) -> str:
    """One line on what a stage left."""
    if "test_accuracy" in metrics:
        speed = f", {metrics['images_per_second']:.0f} images/s" if metrics["images_per_second"] else ""
        notes = "".join(f"\n{'':<9} {note}" for note in metrics.get("notes", ()))
        size = f"{metrics['parameters']:,} parameters"
        return f"{size}, {100 * metrics['test_accuracy']:.2f} % on the test set{speed}{notes}"
    if "rungs" in metrics:
        return f"{len(metrics['rungs'])} rungs on {metrics['num_test_images']:,} images; {metrics['chosen']} is chosen"
    if "templates" in metrics:
        return f"{metrics['templates']:,} numbers in templates of {', '.join(metrics['kinds'])}"
    if "num_files" in metrics:
        return f"{metrics['num_files']} files, {metrics['bytes']:,} bytes"
    return f"{len(metrics['accuracy'])} mixes on {metrics['num_test_images']:,} images, through the files"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise BundleError(f"The artifact {path} cannot be read: {exc}. Remove its folder and build again.") from exc
    if not isinstance(value, dict):
        raise BundleError(f"The artifact {path} holds {type(value).__name__}; remove its folder and build again.")
    return value


def _versions() -> dict[str, str]:
    """What else an artifact depends on: the code that makes it."""
    backend = keras_backend()
    return {"tfpwl": tfpwl.__version__, "keras": _version("keras"), "backend": backend, backend: _version(backend)}


@cache
def _code(*parts: str) -> str:
    """SHA-256 of the source of modules and packages of tfpwl."""
    root, sha = Path(tfpwl.__file__).parent, hashlib.sha256()
    for part in parts:
        module = root / f"{part}.py"
        for path in [module] if module.exists() else sorted((root / part).rglob("*.py")):
            sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
