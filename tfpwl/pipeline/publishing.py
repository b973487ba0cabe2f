"""The report of a finished build on disk, in every form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import tfpwl
from tfpwl.bench.machine import describe_machine
from tfpwl.bundle import Manifest
from tfpwl.config import PipelineConfig
from tfpwl.errors import StoreError
from tfpwl.pipeline.backend import keras_backend
from tfpwl.report import BuildReport, group_sizes, plot_accuracy_path, render_html, render_junit, render_markdown

_FIGURE = "accuracy_path.png"


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
    versions = {package: _version(package) for package in dict.fromkeys(("tensorflow", "keras", backend))}
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


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
