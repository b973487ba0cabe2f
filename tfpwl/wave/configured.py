"""Condensing and starting as a pipeline's YAML describes them: what the command line and the pipeline call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfpwl.augment import AugmentationSeeds, make_augmentation
from tfpwl.config import AugmentConfig, ModelConfig, PipelineConfig, WaveConfig
from tfpwl.data import Dataset
from tfpwl.errors import ConfigError, ModelError
from tfpwl.models import build_side, find_preset
from tfpwl.training import Batches, OnProgress, Seedable
from tfpwl.wave.condense import condense
from tfpwl.wave.initialise import SCALER_FIT, initialise
from tfpwl.wave.rivals import start_by_pruning, start_by_selection, start_random
from tfpwl.wave.templates import TemplateSet

Groups = Sequence[keras.Model]
# Seeds of parts that must not draw the same numbers, as offsets to the pipeline's seed (pipeline.stages has 1 to 3).
_CONDENSE_SEED, _SCALER_SEED, _AUGMENT_SEED = 11, 12, 13


def condense_pipeline(
    config: PipelineConfig,
    data: Dataset,
    teacher: Groups,
    *,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> TemplateSet:
    """Condense a pipeline's trained teacher by its ``wave:`` section, for its student and all ``wave: sizes``.

    Raises:
        ModelError: a size cannot be built, or its widths and the given templates do not fit.
        TrainingError: as :func:`tfpwl.wave.condense`.
    """
    wave, family = config.wave or WaveConfig(), family_of(config.teacher)
    wanted = [
        build_side(size, "student", data.input_shape, data.num_classes, seed=config.seed, teacher=config.teacher)
        for size in (config.student, *wave.sizes)
    ]
    augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
    templates, _ = condense(
        teacher, teacher, batches_of(data, wave.condense.batch_size, config.seed + _CONDENSE_SEED), wave.condense,
        family=family, wanted=wanted, shapes=None if wave.templates == "auto" else wave.templates,
        num_templates=wave.num_templates, temperature=wave.condense.temperature, alpha=wave.condense.alpha,
        augment=augment, seedables=seedables, seed=config.seed, source=_source(config, data), checkpoint=checkpoint,
        on_progress=on_progress,
    )  # fmt: skip
    return templates


def start_student(
    student: Groups,
    config: PipelineConfig,
    data: Dataset,
    *,
    teacher: Groups,
    templates: TemplateSet | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Give a pipeline's fresh student the weights that ``student: {init: …}`` names, in place.

    Args:
        student: fresh groups.
        config: the pipeline.
        data: its data set.
        teacher: the trained teacher.
        templates: what :func:`condense_pipeline` made; ``init: wave`` needs them.
        on_progress: called while scalers train.

    Raises:
        ModelError: the student does not fit the templates or the teacher.
        ConfigError: ``init: wave`` without templates.
    """
    init, seed = config.student.init, config.seed + _SCALER_SEED
    if init == "random":
        start_random(student, seed=seed)
    elif init == "select":
        start_by_selection(student, teacher)
    elif init == "prune":
        start_by_pruning(student, teacher)
    elif init == "wave":
        if templates is None:
            raise ConfigError("student.init is wave, and no templates were condensed for it.")
        wave = config.wave or WaveConfig()
        augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
        initialise(
            student, templates, batches_of(data, wave.condense.batch_size, seed), steps=wave.scaler_steps,
            config=SCALER_FIT.model_copy(update={"learning_rate": wave.scaler_learning_rate}),
            augment=augment, seedables=seedables, seed=seed, on_progress=on_progress,
        )  # fmt: skip


def batches_of(data: Dataset, batch_size: int, seed: int) -> Batches:
    """The training images in batches."""
    return Batches(data.train.x, data.train.y, data.preprocess, batch_size, seed)


def augmentation(chosen: AugmentConfig | None, data: Dataset, seed: int) -> tuple[keras.Model | None, list[Seedable]]:
    """The augmentation that ``data: augment`` names, and its random sources."""
    if chosen is None:
        return None, []
    augment = make_augmentation(
        data.input_shape, rotation=chosen.rotation, flip=chosen.flip, crop=chosen.crop, seed=seed
    )
    return augment, [] if augment is None else [AugmentationSeeds(augment)]


def family_of(config: ModelConfig) -> str:
    """The family that a section names, by itself or by its preset.

    Raises:
        ModelError: it names none, such as a teacher given by ``keras:``.
    """
    if config.preset is not None:
        return find_preset(config.preset).family
    if config.family is None:
        raise ModelError("Templates are made of a teacher of tfpwl's families; expected `family:` or `preset:`.")
    return config.family


def _source(config: PipelineConfig, data: Dataset) -> dict[str, Any]:
    preset = find_preset(config.teacher.preset).teacher if config.teacher.preset is not None else {}
    return {
        "pipeline": config.name,
        "seed": config.seed,
        "teacher": {**preset, **config.teacher.params},
        "data": config.data.model_dump(mode="json", exclude_none=True),
        "input_shape": list(data.input_shape),
        "labels": list(data.labels),
    }


def derive_size(templates: TemplateSet, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a model of the templates' family, from those that are given and the teacher's.

    For a ViT, what is not given follows the width: heads as wide as the teacher's, an ``mlp`` in the teacher's
    proportion; groups as many as the teacher's where they divide the depth, otherwise one for each layer.

    Raises:
        ModelError: the templates do not say what their teacher was.
    """
    teacher = templates.source.get("teacher")
    if not isinstance(teacher, Mapping):
        raise ModelError(
            "The template file does not name its teacher's parameters; give every parameter of the family."
        )
    size = {**teacher, **given}
    if templates.family == "vit":
        width, old = size["width"], teacher["width"]
        if "heads" not in given:
            size["heads"] = max(1, width * teacher["heads"] // old)
        if "mlp" not in given:
            size["mlp"] = width * teacher["mlp"] // old
        if "groups" not in given and size["depth"] % teacher["groups"]:
            size["groups"] = size["depth"]
    elif "stem" not in given and "widths" in given:
        size.pop("stem", None)  # the teacher's own stem width says nothing about other widths
    return size
