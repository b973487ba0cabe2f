"""What the bundle of a pipeline will take, before the pair is trained: sizes and times do not depend on weights.

Importing this module imports Keras.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfpwl.bundle import Bundle
from tfpwl.config import PipelineConfig
from tfpwl.data import Dataset
from tfpwl.errors import ModelError, QuantizationError
from tfpwl.evaluate import compare_latency
from tfpwl.mix import Mix, prefix_order
from tfpwl.mix import path as walk
from tfpwl.models import build_side
from tfpwl.pairs import ModelPair, load_side, save_pair
from tfpwl.pipeline.bundling import BundleFiles, write_files
from tfpwl.pipeline.ladder import WHOLE, calibration_images, read_files
from tfpwl.pipeline.limits import upgrade_bytes
from tfpwl.pipeline.output import LOGITS
from tfpwl.pipeline.pairing import pair_up
from tfpwl.pipeline.pruning import prune_untrained
from tfpwl.pipeline.stages import export
from tfpwl.quantize import calibrate, quantize_files

_ANSWERS = 200
_DISTURBANCE = 1e-3  # above 0, as variances must be
_CALIBRATION_IMAGES = 16  # the ranges come out wrong, the files as large as they will be


def outline(
    config: PipelineConfig, data: Dataset, teacher: Path | None, precisions: Sequence[str], work: Path,
    *, kind: str = LOGITS,
) -> dict[str, Any]:  # fmt: skip
    """Build, prune and export the pair without training it, and measure its files at several precisions.

    Args:
        config: the pipeline.
        data: its data set; shapes, and images to calibrate with.
        teacher: artifact of the stage ``train``; without one the teacher, too, is untrained, and other channels are
            pruned than will be.
        precisions: to measure.
        work: an empty folder to write into; nothing is left there.
        kind: what the files answer with.

    Returns:
        ``files``: ``bundle_bytes``, ``resident_bytes`` and ``latency_ms`` by precision, of those that can be made; and
        ``refused``: why others cannot, by precision, ``model`` where none can.
    """
    keras.utils.set_random_seed(config.seed)
    try:
        pair = _pair(config, data, teacher)
    except ModelError as exc:
        return {"files": {}, "refused": {"model": str(exc)}}
    _disturb(pair, config.seed)
    save_pair(pair, work / "pair")
    export(config, work / "pair", work, lambda *_: None, kind)
    files = {stem: content for stem, content in read_files(work).items() if stem != WHOLE}
    measured = _measure(config, data, files, precisions, work, kind=kind)
    for left in work.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return measured


def _pair(config: PipelineConfig, data: Dataset, teacher: Path | None) -> ModelPair:
    if teacher is not None:
        groups = load_side(teacher, "teacher")
    else:
        groups = build_side(config.teacher, "teacher", data.input_shape, data.num_classes, seed=config.seed)
    pair = pair_up(config, data, groups).pair
    return pair if config.prune is None else prune_untrained(config, config.prune, data, pair)


def _disturb(pair: ModelPair, seed: int) -> None:
    """Make every weight another number: TensorFlow writes constants that are equal, such as biases of 0, only once."""
    random = np.random.default_rng(seed)
    for model in (*pair.student, *pair.teacher, *pair.encoders, *pair.decoders):
        if model is not None:
            model.set_weights([array + random.uniform(0.0, _DISTURBANCE, array.shape) for array in model.get_weights()])


def _measure(
    config: PipelineConfig, data: Dataset, files: dict[str, bytes], precisions: Sequence[str], work: Path, *, kind: str
) -> dict[str, Any]:
    path = walk(prefix_order(sum(stem.endswith(".student") for stem in files)))
    bundles: dict[str, Bundle] = {}
    sizes: dict[str, dict[str, float]] = {}
    refused: dict[str, str] = {}
    for precision in precisions:
        try:
            made = _quantized(config, data, files, precision, path)
        except QuantizationError as exc:
            refused[precision] = str(exc)
            continue
        sizes[precision] = {
            "bundle_bytes": sum(map(len, made.values())), "resident_bytes": upgrade_bytes(made, path)[path[-1]],
        }  # fmt: skip
        bundles[precision] = write_files(work / precision, BundleFiles(made, precision), config, data, kind=kind)
    times = compare_latency(bundles, path[-1:], answers=_ANSWERS)
    for precision, taken in times.items():
        sizes[precision]["latency_ms"] = round(taken[path[-1]].median_ms, 4)
    return {"files": sizes, "refused": refused}


def _quantized(
    config: PipelineConfig, data: Dataset, files: dict[str, bytes], precision: str, path: Sequence[Mix]
) -> dict[str, bytes]:
    if precision != "int8":
        return dict(quantize_files(files, precision))
    images = data.preprocess(calibration_images(data, _CALIBRATION_IMAGES, config.seed))
    return dict(quantize_files(files, precision, calibrate(files, images, path)))
