"""The stages: each reads artifacts of the stages before it and writes its own into the folder it is given.

Importing this module imports Keras; :mod:`tfpwl.pipeline.build` does so only when a stage has to run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfpwl.config import PipelineConfig, TrainConfig
from tfpwl.data import Dataset
from tfpwl.distill import distill
from tfpwl.errors import ExportError, QuantizationError
from tfpwl.mix import Mix
from tfpwl.models import build_side
from tfpwl.pairs import ModelPair, compose, load_pair, load_side, save_pair, save_side
from tfpwl.pipeline.fitting import QAT_SEED, STUDENT_SEED, OnProgress, augmentation, batches, finish, fit_groups
from tfpwl.pipeline.given_teacher import take_teacher
from tfpwl.pipeline.ladder import Rebuilt, calibration_images, read_files
from tfpwl.pipeline.output import LOGITS, end_in
from tfpwl.pipeline.pairing import pair_up
from tfpwl.pipeline.store import CHECKPOINT
from tfpwl.wave import condense_pipeline, load_templates, save_templates, start_student

TEMPLATES = "templates.npz"


def train(config: PipelineConfig, data: Dataset, work: Path, on_progress: OnProgress) -> dict[str, Any]:
    """Train the teacher, or take somebody's; leaves its groups and ``metrics.json``."""
    keras.utils.set_random_seed(config.seed)
    if config.teacher.keras is not None:
        return take_teacher(config, data, config.teacher.keras, work, on_progress)
    teacher = build_side(config.teacher, "teacher", data.input_shape, data.num_classes, seed=config.seed)
    pair_up(config, data, teacher)  # a mistake in the student's section must show before the teacher is trained
    history = fit_groups(
        teacher, config.teacher.train or TrainConfig(), config, data, work=work, on_progress=on_progress
    )
    save_side(teacher, work, "teacher")
    return finish(work, history, compose(teacher, "teacher"), data)


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
    keras.utils.set_random_seed(config.seed + STUDENT_SEED)
    paired = pair_up(config, data, load_side(teacher, "teacher"))
    pair = paired.pair
    start_student(
        pair.student, config, data, teacher=pair.teacher,
        templates=None if templates is None else load_templates(templates / TEMPLATES), on_progress=on_progress,
    )  # fmt: skip
    augment, seedables = augmentation(config, data)
    history = distill(
        pair,
        batches(data, config.distill.batch_size, config.seed + STUDENT_SEED),
        config.distill.model_copy(update={"method": method}),
        augment=augment,
        seedables=seedables,
        seed=config.seed,
        checkpoint=work / CHECKPOINT,
        on_progress=on_progress,
    )
    save_pair(pair, work)
    return {**finish(work, history, compose(pair.student, "student"), data), **paired.metrics}


def export(
    config: PipelineConfig, pair: Path, work: Path, on_progress: OnProgress, kind: str = LOGITS
) -> dict[str, Any]:
    """Convert every group and converter, and the teacher in one piece; leaves ``*.tflite`` files.

    Only TensorFlow writes .tflite files; a pipeline that trains on another Keras backend exports in its own process.

    Args:
        config: the pipeline.
        pair: artifact of :func:`distil` or :func:`tfpwl.pipeline.pruning.prune`.
        work: folder to write into.
        on_progress: called with files done, files in all.
        kind: what the files answer with, ``logits`` or ``probabilities``.
    """
    if keras.backend.backend() == "tensorflow":
        export_files(pair, work, config.export.batch, on_progress, kind)
    else:
        _export_in_process(pair, work, config.export.batch, kind)
    sizes = {path.name: path.stat().st_size for path in sorted(work.glob("*.tflite"))}
    return {"num_files": len(sizes), "bytes": sum(sizes.values())}


def export_files(pair: Path, work: Path, batch: int, on_progress: OnProgress, kind: str = LOGITS) -> None:
    """The work of :func:`export` on the TensorFlow backend."""
    from tfpwl.export import export_model, export_pair  # noqa: PLC0415 - imports TensorFlow

    models = end_in(load_pair(pair), kind)
    files = export_pair(models, batch=batch, on_progress=lambda done, total: on_progress(done, total + 1, {}))
    files["teacher"] = export_model(compose(models.teacher, "teacher"), batch=batch)
    for stem, content in files.items():
        (work / f"{stem}.tflite").write_bytes(content)
    on_progress(len(files), len(files), {})


def equalized(
    config: PipelineConfig, data: Dataset, pair: Path, mixes: Sequence[Mix], work: Path, *, kind: str = LOGITS
) -> Rebuilt:
    """The pair with the channels of its boundaries brought to like ranges, as float files; it answers as before.

    Args:
        config: the pipeline.
        data: its data set.
        pair: artifact of :func:`distil`.
        mixes: whose data counts.
        work: an empty folder; the pair stays there.
        kind: as of :func:`export`.
    """
    from tfpwl.quantize.equalize import equalize  # noqa: PLC0415 - used where calibration alone does not do

    samples = config.quantize.calibration.samples if config.quantize is not None else len(data.train)
    balanced = equalize(load_pair(pair), data.preprocess(calibration_images(data, samples, config.seed)), mixes)
    return Rebuilt(_exported(config, balanced.pair, work, kind), None)


def tuned(
    config: PipelineConfig,
    data: Dataset,
    pair: Path,
    mixes: Sequence[Mix],
    work: Path,
    *,
    kind: str = LOGITS,
    **to: Any,
) -> Rebuilt:
    """The pair after quantization-aware training, as float files, and the boundary ranges it was trained under.

    Args:
        config: the pipeline; ``quantize.qat`` says how long.
        data: its data set.
        pair: artifact of :func:`distil`, or what :func:`equalized` left.
        mixes: trained under the rounding, those of the path.
        work: an empty folder; the pair stays there.
        kind: as of :func:`export`.
        **to: ``checkpoint`` and ``on_progress``.

    Raises:
        QuantizationError: the pair has a layer that cannot be trained so.
    """
    from tfpwl.quantize.qat import fine_tune  # noqa: PLC0415 - imports tf_keras and tfmot when it trains

    chosen = config.quantize.qat if config.quantize is not None else None
    if chosen is None:
        raise QuantizationError("The pipeline asks for no quantization-aware training (`quantize.qat`).")
    seed = config.seed + QAT_SEED
    result = fine_tune(load_pair(pair), batches(data, chosen.batch_size, seed), chosen, mixes=mixes, seed=seed, **to)
    return Rebuilt(_exported(config, result.pair, work, kind), result.boundaries)


def _exported(config: PipelineConfig, pair: ModelPair, work: Path, kind: str) -> dict[str, bytes]:
    work.mkdir(parents=True)
    save_pair(pair, work)
    export(config, work, work, lambda *_: None, kind)
    return read_files(work)


def _export_in_process(pair: Path, work: Path, batch: int, kind: str) -> None:
    code = (
        "import sys; from pathlib import Path; from tfpwl.pipeline.stages import export_files; "
        "export_files(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), lambda *_: None, sys.argv[4])"
    )
    command = [sys.executable, "-c", code, str(pair), str(work), str(batch), kind]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExportError(
            f"The export process (KERAS_BACKEND=tensorflow) failed with exit code {done.returncode}. Export needs "
            f"TensorFlow, whatever backend trains. Its last words:\n{done.stderr[-2000:]}"
        )
