"""The stage ``evaluate``: what the files of the bundle are worth, measured, or taken from the ladder that measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfpwl.bundle import Bundle
from tfpwl.config import EvaluateConfig
from tfpwl.data import Dataset
from tfpwl.evaluate import evaluate_mixes, measure_latency, teacher_difference
from tfpwl.mix import path
from tfpwl.pipeline.ladder import OnProgress, rung_metrics

_DIFFERENCE_IMAGES = 100  # for contract 4


def measure(
    bundle: Bundle, one_piece: bytes, section: EvaluateConfig, data: Dataset, on_progress: OnProgress
) -> dict[str, Any]:
    """Measure accuracy and time of the mixes and the difference from the teacher in one piece.

    Args:
        bundle: of the exported files.
        one_piece: the teacher as one file.
        section: the pipeline's ``evaluate:``.
        data: its data set.
        on_progress: called with images done, in all, metrics.

    Returns:
        The stage's metrics; milliseconds are medians, accuracies fractions 0..1.
    """
    x, y = data.test.x[: section.limit], data.test.y[: section.limit]
    mixes = path(bundle.manifest.order) if section.mixes == "path" else None
    results = evaluate_mixes(
        bundle, x, y, mixes, raw=True, workers=section.workers,
        on_progress=lambda done, total: on_progress(done, total, {}),
    )  # fmt: skip
    return {
        **_sizes(bundle, results),
        "accuracy": {mix: result.accuracy for mix, result in results.items()},
        "bundle_bytes": sum(entry.bytes for entry in bundle.files()),
        "latency_ms": {mix: round(ms, 4) for mix, ms in measure_latency(bundle, tuple(results)).items()},
        "teacher_difference": teacher_difference(bundle, one_piece, data.preprocess(x[:_DIFFERENCE_IMAGES])),
        "num_test_images": len(x),
    }


def take_chosen(bundle: Bundle, quantized: Mapping[str, Any]) -> dict[str, Any]:
    """What the ladder has measured of the rung that it chose.

    Args:
        bundle: of the rung's files.
        quantized: metrics of the stage ``quantize``.

    Returns:
        Metrics as of :func:`measure`.
    """
    rung = rung_metrics(quantized)
    return {
        **_sizes(bundle, rung["accuracy"]),
        "accuracy": rung["accuracy"],
        "bundle_bytes": rung["bytes"],
        "latency_ms": rung["latency_ms"],
        "teacher_difference": rung["teacher_difference"],
        "num_test_images": quantized["num_test_images"],
    }


def _sizes(bundle: Bundle, mixes: Mapping[Any, object]) -> dict[str, Any]:
    return {"mix_bytes": {mix: bundle.mix_bytes(mix) for mix in mixes}, "order": list(bundle.manifest.order)}
