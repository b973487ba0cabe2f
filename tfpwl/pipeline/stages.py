"""The stages: each reads artifacts of the stages before it and writes its own into the folder it is given.

Importing this module imports Keras; :mod:`tfpwl.pipeline.build` does so only when a stage has to run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfpwl.augment import AugmentationSeeds, make_augmentation
from tfpwl.config import PipelineConfig
from tfpwl.data import Dataset, Split
from tfpwl.distill import distill
from tfpwl.errors import ExportError, QuantizationError
from tfpwl.fused import fuse_batchnorm
from tfpwl.mix import Mix
from tfpwl.models import build_side
from tfpwl.pairs import ModelPair, compose, load_pair, load_side, make_pair, save_pair, save_side
from tfpwl.pipeline.ladder import Rebuilt, calibration_images, read_files
from tfpwl.pipeline.store import CHECKPOINT
from tfpwl.training import Batches, History, Seedable, cross_entropy, fit
from tfpwl.wave import condense_pipeline, load_templates, save_templates, start_student

TEMPLATES = "templates.npz"
OnProgress = Callable[[int, int, Mapping[str, float]], None]
# Seeds of parts that must not draw the same numbers, as offsets to the pipeline's seed.
_STUDENT_SEED, _CONVERTER_SEED, _AUGMENT_SEED, _QAT_SEED = 1, 2, 3, 4
_PREDICT_BATCH = 256


def train(config: PipelineConfig, data: Dataset, work: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Train the teacher; leaves its groups and ``metrics.json``."""
    keras.utils.set_random_seed(config.seed)
    teacher = build_side(config.teacher, "teacher", data.input_shape, data.num_classes, seed=config.seed)
    _pair(config, data, teacher)  # a mistake in the student's section must show before the teacher is trained
    fast = [fuse_batchnorm(group) for group in teacher]
    augment, seedables = _augmentation(config, data)
    history = fit(
        compose([*([augment] if augment is not None else []), *fast], "teacher"),
        _batches(data, config.teacher.train.batch_size, config.seed),
        config.teacher.train,
        loss=cross_entropy(config.teacher.train.label_smoothing),
        seedables=seedables,
        checkpoint=work / CHECKPOINT,
        on_progress=on_progress,
    )
    for group, trained in zip(teacher, fast, strict=True):
        group.set_weights(trained.get_weights())
    save_side(teacher, work, "teacher")
    return _finish(work, history, compose(teacher, "teacher"), data)


def condense(
    config: PipelineConfig, data: Dataset, teacher: Path, work: Path, on_progress: OnProgress
) -> dict[str, Any]:
    """Condense the teacher into weight templates (``wave:``); leaves ``templates.npz``."""
    keras.utils.set_random_seed(config.seed)
    made = condense_pipeline(
        config, data, load_side(teacher, "teacher"), checkpoint=work / CHECKPOINT, on_progress=on_progress
    )
    save_templates(made, work / TEMPLATES)
    return {"templates": made.num_parameters, "kinds": sorted(made.templates)}


def distil(
    config: PipelineConfig,
    data: Dataset,
    teacher: Path,
    work: Path,
    on_progress: OnProgress,
    *,
    method: str,
    templates: Path | None = None,
) -> dict[str, Any]:
    """Train the student (and, by PWL, the converters); leaves the pair and ``metrics.json``.

    Args:
        config: the pipeline.
        data: its data set.
        teacher: artifact of :func:`train`.
        work: folder to write into.
        on_progress: called with steps done, steps in all, metrics.
        method: ``pwl`` or ``kd``.
        templates: artifact of :func:`condense`, for a student that starts from it.
    """
    keras.utils.set_random_seed(config.seed + _STUDENT_SEED)
    pair = _pair(config, data, load_side(teacher, "teacher"))
    start_student(
        pair.student, config, data, teacher=pair.teacher,
        templates=None if templates is None else load_templates(templates / TEMPLATES), on_progress=on_progress,
    )  # fmt: skip
    augment, seedables = _augmentation(config, data)
    history = distill(
        pair,
        _batches(data, config.distill.batch_size, config.seed + _STUDENT_SEED),
        config.distill.model_copy(update={"method": method}),
        augment=augment,
        seedables=seedables,
        seed=config.seed,
        checkpoint=work / CHECKPOINT,
        on_progress=on_progress,
    )
    save_pair(pair, work)
    return _finish(work, history, compose(pair.student, "student"), data)


def export(config: PipelineConfig, pair: Path, work: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Convert every group and converter, and the teacher in one piece; leaves ``*.tflite`` files.

    Only TensorFlow writes .tflite files; a pipeline that trains on another Keras backend exports in its own process.
    """
    if keras.backend.backend() == "tensorflow":
        export_files(pair, work, config.export.batch, on_progress)
    else:
        _export_in_process(pair, work, config.export.batch)
    sizes = {path.name: path.stat().st_size for path in sorted(work.glob("*.tflite"))}
    return {"num_files": len(sizes), "bytes": sum(sizes.values())}


def export_files(pair: Path, work: Path, batch: int, on_progress: OnProgress) -> None:
    """The work of :func:`export` on the TensorFlow backend."""
    from tfpwl.export import export_model, export_pair  # noqa: PLC0415 - imports TensorFlow

    models = load_pair(pair)
    files = export_pair(models, batch=batch, on_progress=lambda done, total: on_progress(done, total + 1, {}))
    files["teacher"] = export_model(compose(models.teacher, "teacher"), batch=batch)
    for stem, content in files.items():
        (work / f"{stem}.tflite").write_bytes(content)
    on_progress(len(files), len(files), {})


def equalized(config: PipelineConfig, data: Dataset, pair: Path, mixes: Sequence[Mix], work: Path) -> Rebuilt:
    """The pair with the channels of its boundaries brought to like ranges, as float files; it answers as before.

    Args:
        config: the pipeline.
        data: its data set.
        pair: artifact of :func:`distil`.
        mixes: whose data counts.
        work: an empty folder; the pair stays there.
    """
    from tfpwl.quantize.equalize import equalize  # noqa: PLC0415 - used where calibration alone does not do

    samples = config.quantize.calibration.samples if config.quantize is not None else len(data.train)
    balanced = equalize(load_pair(pair), data.preprocess(calibration_images(data, samples, config.seed)), mixes)
    return Rebuilt(_exported(config, balanced.pair, work), None)


def tuned(config: PipelineConfig, data: Dataset, pair: Path, mixes: Sequence[Mix], work: Path, **to: Any) -> Rebuilt:
    """The pair after quantization-aware training, as float files, and the boundary ranges it was trained under.

    Args:
        config: the pipeline; ``quantize.qat`` says how long.
        data: its data set.
        pair: artifact of :func:`distil`, or what :func:`equalized` left.
        mixes: trained under the rounding, those of the path.
        work: an empty folder; the pair stays there.
        **to: ``on_progress``.

    Raises:
        QuantizationError: the pair has a layer that cannot be trained so.
    """
    from tfpwl.quantize.qat import fine_tune  # noqa: PLC0415 - imports tf_keras and tfmot when it trains

    chosen = config.quantize.qat if config.quantize is not None else None
    if chosen is None:
        raise QuantizationError("The pipeline asks for no quantization-aware training (`quantize.qat`).")
    seed = config.seed + _QAT_SEED
    batches = _batches(data, chosen.batch_size, seed)
    result = fine_tune(load_pair(pair), batches, chosen, mixes=mixes, seed=seed, **to)
    return Rebuilt(_exported(config, result.pair, work), result.boundaries)


def _exported(config: PipelineConfig, pair: ModelPair, work: Path) -> dict[str, bytes]:
    work.mkdir(parents=True)
    save_pair(pair, work)
    export(config, work, work, lambda *_: None)
    return read_files(work)


def _export_in_process(pair: Path, work: Path, batch: int) -> None:
    code = (
        "import sys; from pathlib import Path; from tfpwl.pipeline.stages import export_files; "
        "export_files(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), lambda *_: None)"
    )
    command = [sys.executable, "-c", code, str(pair), str(work), str(batch)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExportError(
            f"The export process (KERAS_BACKEND=tensorflow) failed with exit code {done.returncode}. Export needs "
            f"TensorFlow, whatever backend trains. Its last words:\n{done.stderr[-2000:]}"
        )


def _pair(config: PipelineConfig, data: Dataset, teacher: Sequence[keras.Model]) -> ModelPair:
    """The teacher and a fresh student."""
    student = build_side(
        config.student, "student", data.input_shape, data.num_classes, seed=config.seed + _STUDENT_SEED,
        teacher=config.teacher,
    )  # fmt: skip
    return make_pair(student, teacher, seed=config.seed + _CONVERTER_SEED)


def _augmentation(config: PipelineConfig, data: Dataset) -> tuple[keras.Model | None, list[Seedable]]:
    chosen = config.data.augment
    if chosen is None:
        return None, []
    augment = make_augmentation(
        data.input_shape, rotation=chosen.rotation, flip=chosen.flip, crop=chosen.crop,
        seed=config.seed + _AUGMENT_SEED,
    )  # fmt: skip
    return augment, [] if augment is None else [AugmentationSeeds(augment)]


def _batches(data: Dataset, batch_size: int, seed: int) -> Batches:
    return Batches(data.train.x, data.train.y, data.preprocess, batch_size, seed)


def _finish(work: Path, history: History, model: keras.Model, data: Dataset) -> dict[str, Any]:
    metrics = {
        "parameters": model.count_params(),
        "val_accuracy": _accuracy(model, data.val, data),
        "test_accuracy": _accuracy(model, data.test, data),
        "images_per_second": history.images_per_second,
        "epochs": list(history.epochs),
    }
    (work / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    return metrics


def _accuracy(model: keras.Model, split: Split, data: Dataset) -> float:
    right = 0
    for start in range(0, len(split), _PREDICT_BATCH):
        chosen = slice(start, start + _PREDICT_BATCH)
        logits = np.asarray(model.predict_on_batch(data.preprocess(split.x[chosen])))
        right += int((logits.argmax(-1) == split.y[chosen]).sum())
    return right / len(split)
