"""The pair that is distilled: a fresh student of a family beside the teacher, or one derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras

from tfpwl.config import DeriveConfig, PipelineConfig
from tfpwl.data import Dataset
from tfpwl.models import build_side, reestimate_statistics
from tfpwl.pairs import ModelPair, make_pair
from tfpwl.pipeline.fitting import CONVERTER_SEED, DERIVE_SEED, STUDENT_SEED
from tfpwl.prune import derive_student

_BLOCK_IMAGES = 64  # that decide which residual blocks may go
_STATISTICS_IMAGES = 1024
_MOST_MOMENTUM = 0.99  # Keras' own default; keras.applications have 0.999, which takes thousands of steps to follow


@dataclass(frozen=True)
class Paired:
    """A pair, and what the report says of how its student was made."""

    pair: ModelPair
    metrics: dict[str, Any] = field(default_factory=dict)


def pair_up(config: PipelineConfig, data: Dataset, teacher: Sequence[keras.Model]) -> Paired:
    """The teacher and the student that the pipeline describes, before distillation.

    Raises:
        ModelError: the student cannot be built or derived.
        BoundaryError: it does not meet the teacher.
    """
    if config.student.derive is not None:
        return _derived(config.student.derive, config.seed, data, teacher)
    student = build_side(
        config.student, "student", data.input_shape, data.num_classes, seed=config.seed + STUDENT_SEED,
        teacher=config.teacher if config.teacher.keras is None else None,
    )  # fmt: skip
    return Paired(make_pair(student, teacher, seed=config.seed + CONVERTER_SEED))


def _derived(section: DeriveConfig, seed: int, data: Dataset, teacher: Sequence[keras.Model]) -> Paired:
    derived = derive_student(
        teacher, width=section.width, depth=section.depth, importance=section.importance, round_to=section.round_to,
        data=data.preprocess(data.train.x[:_BLOCK_IMAGES]), seed=seed + DERIVE_SEED,
    )  # fmt: skip
    pair = derived.pair(teacher)
    for group in pair.student:
        group.trainable = True  # somebody may have frozen the teacher's layers
        for layer in group.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = min(layer.momentum, _MOST_MOMENTUM)
    reestimate_statistics(pair.student, data.preprocess(data.train.x[:_STATISTICS_IMAGES]))
    blocks = [asdict(block) for block in derived.report.blocks]
    return Paired(pair, {"derived": {"blocks": blocks}, "notes": list(derived.report.notes)})
