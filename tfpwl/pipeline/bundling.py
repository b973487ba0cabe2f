"""The bundle of a pipeline: which files it has, and what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tfpwl
from tfpwl.bundle import Bundle, Producer, Quantization, RuntimeHints, write_bundle
from tfpwl.config import PipelineConfig
from tfpwl.data import Dataset
from tfpwl.pipeline.ladder import WHOLE, manifest_entry, read_files
from tfpwl.versions import installed_version


@dataclass(frozen=True)
class BundleFiles:
    """``.tflite`` bytes by stem, the teacher in one piece perhaps among them, their precision, and why that one."""

    files: Mapping[str, bytes]
    precision: str = "fp32"
    choice: Quantization | None = None


def chosen_files(artifacts: Mapping[str, Path], metrics: Mapping[str, Mapping[str, Any]]) -> BundleFiles:
    """The files of the rung that the ladder chose, or the export where there is no ladder.

    Args:
        artifacts, metrics: of the stages, up to ``quantize`` where there is one.
    """
    if (ladder := metrics.get("quantize")) is None:
        return BundleFiles(read_files(artifacts["export"]))
    choice = manifest_entry(ladder)
    return BundleFiles(read_files(artifacts["quantize"] / ladder["chosen"]), choice.chosen, choice)


def write_files(
    folder: Path,
    chosen: BundleFiles,
    config: PipelineConfig,
    data: Dataset,
    *,
    kind: str,
    tier: str | None = None,
    runtime: RuntimeHints | None = None,
    accuracy: Mapping[str, float] | None = None,
    latency_ms: Mapping[str, float] | None = None,
) -> Bundle:
    """Write a bundle of these files with name, labels and preprocessing of the pipeline.

    Args:
        folder: for the bundle; replaced when it is whole.
        chosen: the files.
        config: the pipeline.
        data: its data set.
        kind: what the files answer with, ``logits`` or ``probabilities``.
        tier: the device class that the bundle is for, if it is for one.
        runtime: how an app shall run the bundle, where that is known better than by the configuration.
        accuracy: by mix, fractions 0..1, as far as they are measured.
        latency_ms: by mix, medians, as far as they are measured.
    """
    return write_bundle(
        folder, files={stem: model for stem, model in chosen.files.items() if stem != WHOLE}, name=config.name,
        precision=chosen.precision, quantization=chosen.choice, kind=kind, tier=tier,
        producer=Producer(tfpwl.__version__, installed_version("tensorflow") or "none", config.sha256()),
        preprocess=data.preprocess, labels=data.labels, accuracy=accuracy or {}, latency_ms=latency_ms or {},
        runtime=runtime or RuntimeHints(config.runtime.threads, config.runtime.delegate),
    )  # fmt: skip
