"""The report of a finished build: from what its stages left, and on disk in every form."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tfpwl
from tfpwl.bench.machine import describe_machine
from tfpwl.bundle import Manifest
from tfpwl.config import PipelineConfig
from tfpwl.errors import StoreError
from tfpwl.mix import Mix
from tfpwl.pipeline.backend import keras_backend
from tfpwl.pipeline.gates import check_gates, ladder_gate
from tfpwl.pipeline.ladder import rung_metrics
from tfpwl.report import (
    BuildReport,
    FinetuneRecord,
    GateResult,
    MixRecord,
    PruneRecord,
    RungRecord,
    group_sizes,
    plot_accuracy_path,
    render_html,
    render_junit,
    render_markdown,
)
from tfpwl.versions import installed_version

Metrics = Mapping[str, Mapping[str, Any]]

_FIGURE = "accuracy_path.png"


def make_report(
    config: PipelineConfig, metrics: Metrics, timings: Mapping[str, float], limits: Sequence[GateResult] = ()
) -> BuildReport:
    """The figures of a build and how its gates went.

    Args:
        config: the pipeline.
        metrics: of all its stages, by name.
        timings: seconds by stage.
        limits: gates that were checked elsewhere, behind those of the pipeline.
    """
    report, ladder = _figures(config, metrics, timings), metrics.get("quantize")
    if ladder is not None:
        report = replace(
            report, precision=rung_metrics(ladder)["precision"], choice=ladder["reason"],
            rungs=tuple(RungRecord.from_metrics(rung, ladder["chosen"]) for rung in ladder["rungs"]),
            notes=(*report.notes, *ladder["notes"]),
        )  # fmt: skip
    gates = check_gates(config.gates, report, metrics["evaluate"]["bundle_bytes"])
    return replace(report, gates=(*gates, *([] if ladder is None else [ladder_gate(ladder)]), *limits))


def _figures(config: PipelineConfig, metrics: Metrics, timings: Mapping[str, float]) -> BuildReport:
    teacher, student, measured = metrics["train"], metrics["distill"], metrics["evaluate"]
    notes = (*teacher.get("notes", ()), *student.get("notes", ()))
    pruned, tuned = metrics.get("prune"), metrics.get("finetune")
    for changed in (pruned, tuned):
        if changed is not None:
            teacher, student = {**teacher, **changed["teacher"]}, changed
    records = tuple(
        MixRecord(Mix(mix), measured["mix_bytes"][mix], accuracy, measured["latency_ms"][mix])
        for mix, accuracy in sorted(measured["accuracy"].items())
    )
    return BuildReport(
        name=config.name, num_groups=len(measured["order"]), order=tuple(measured["order"]), mixes=records,
        student_params=student["parameters"], teacher_params=teacher["parameters"],
        teacher_accuracy=teacher["test_accuracy"],
        kd_accuracy=metrics["baseline"]["test_accuracy"] if "baseline" in metrics else None,
        teacher_difference=measured["teacher_difference"], num_test_images=measured["num_test_images"],
        images_per_s=student["images_per_second"], timings_s=timings, notes=notes,
        pruning=() if pruned is None else tuple(PruneRecord(**step) for step in pruned["steps"]),
        finetuning=() if tuned is None else tuple(FinetuneRecord(**mix) for mix in tuned["mixes"]),
    )  # fmt: skip


def complete_report(
    report: BuildReport, manifest: Manifest, config: PipelineConfig, command: str | None
) -> BuildReport:  # fmt: skip
    """The report with what is known beside the figures: sizes of the groups, tier, environment, configuration."""
    return replace(
        report, groups=group_sizes(manifest), tier=manifest.tier, environment=_environment(),
        config=config.model_dump(mode="json", exclude_none=True), command=command,
    )  # fmt: skip


def write_report(folder: Path, report: BuildReport) -> None:
    """Write ``metrics.json``, ``junit.xml``, ``report.md``, ``report.html`` and the figure; each is whole or not there.

    Raises:
        StoreError: the folder cannot be written.
        MissingDependencyError: a package that draws is not installed.
    """
    texts = {
        "metrics.json": report.to_json(),
        "junit.xml": render_junit([report]),
        "report.md": render_markdown(report),
        "report.html": render_html([report]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            temporary = folder / f".{name}.tmp"
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, folder / name)
        plot_accuracy_path(folder / f".{_FIGURE}.tmp", report)
        os.replace(folder / f".{_FIGURE}.tmp", folder / _FIGURE)
    except OSError as exc:
        raise StoreError(
            f"Cannot write the report into {folder}: {exc}. The bundle is written; make room or give another folder "
            "with -o, and build again."
        ) from exc


def _environment() -> Mapping[str, str]:
    machine = describe_machine()
    backend = keras_backend()
    packages = dict.fromkeys(("tensorflow", "keras", backend))
    versions = {package: installed_version(package) or "not installed" for package in packages}
    return {
        "processor": f"{machine.processor}, {machine.cores} cores",
        "memory": f"{machine.memory_bytes / 2**30:.0f} GiB",
        "system": machine.system,
        "python": machine.python,
        "tfpwl": tfpwl.__version__,
        **versions,
        "keras backend": backend,
        "ai-edge-litert": machine.litert,
    }
