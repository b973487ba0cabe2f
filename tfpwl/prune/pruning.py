"""Pruning in one call: plan, then carve."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfpwl.prune.importance import Calibration, Score
from tfpwl.prune.plan import plan_pruning
from tfpwl.prune.surgery import carve


def prune(
    model: keras.Model,
    ratio: float = 0.5,
    importance: str | Score = "l2",
    *,
    target: str = "flops",
    ranking: str = "global",
    round_to: int = 8,
    keep: Sequence[str] = (),
    max_layer_ratio: float = 0.9,
    calibration: Calibration | None = None,
    seed: int = 0,
) -> keras.Model:
    """Remove the least important channels of ``model`` until ``ratio`` of its FLOPs (or parameters) are gone.

    Use it on a trained model, then fine-tune the result. For what was removed and why, and for several tries on one
    model, call :func:`tfpwl.prune.plan_pruning` and :func:`tfpwl.prune.carve` instead. The arguments are those of
    :func:`~tfpwl.prune.plan_pruning`.

    Returns:
        A new, smaller, uncompiled model with the same layer names; ``model`` is not changed. ``ratio=0`` gives a copy.

    Raises:
        ModelError: as :func:`~tfpwl.prune.plan_pruning` and :func:`~tfpwl.prune.carve`.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(32, 3, name="a")(inputs)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> model = keras.Model(inputs, keras.layers.Dense(10)(x))
        >>> prune(model, 0.5).get_layer("a").filters
        16
    """
    plan = plan_pruning(
        model, ratio, importance, target=target, ranking=ranking, round_to=round_to, keep=keep,
        max_layer_ratio=max_layer_ratio, calibration=calibration, seed=seed,
    )  # fmt: skip
    return carve(model, plan)
