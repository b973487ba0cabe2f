"""From the `teacher:` and `student:` sections of a pipeline to groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfpwl.config import ModelConfig
from tfpwl.errors import ModelError
from tfpwl.models.registry import build_groups, find_preset


def build_side(
    config: ModelConfig,
    side: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    seed: int,
    teacher: ModelConfig | None = None,
) -> tuple[keras.Model, ...]:
    """Build the groups that a section of a pipeline describes.

    Args:
        config: the section.
        side: ``"teacher"`` or ``"student"``; which half of a preset is meant, and the name of the model.
        input_shape: (height, width, channels).
        num_classes: number of logits.
        seed: of the initial weights.
        teacher: the teacher's section; a student that names neither family nor preset takes the teacher's, and for a
            family the parameters that it does not give itself.

    Raises:
        ModelError: as :func:`tfpwl.models.build_groups`, or a student without any description.
    """
    family, params = _describe(config, side, teacher)
    try:
        return build_groups(family, input_shape, num_classes, name=side, seed=seed, **params)
    except ModelError as exc:
        raise ModelError(f"{side}: {exc}") from exc


def _describe(config: ModelConfig, side: str, teacher: ModelConfig | None) -> tuple[str, dict[str, Any]]:
    named = config
    if teacher is not None and config.preset is None and config.family is None:
        named = teacher
    if named.preset is not None:
        preset = find_preset(named.preset)
        return preset.family, {**getattr(preset, side), **config.params}
    if named.family is None:
        raise ModelError(f"{side}: expected `family:` or `preset:`.")
    if named is not config and not config.params:
        raise ModelError(
            f"{side}: nothing is given, so it would equal the teacher. Give it smaller parameters, such as fewer "
            "`depths`."
        )
    inherited = teacher.params if teacher is not None and named is teacher else {}
    return named.family, {**inherited, **config.params}
