"""A shallower side: residual blocks are taken out whose removal changes the features least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.models.blocks import ResidualBlock, additions, find_blocks
from tfpwl.models.calls import FlatModel, flatten_model
from tfpwl.models.regroup import rebuild
from tfpwl.models.running import Bypass, needed_calls, run_calls
from tfpwl.models.statistics import check_images
from tfpwl.prune.side import Groups


@dataclass(frozen=True)
class BlockReport:
    """A residual block that can go.

    Attributes:
        group: index of its group.
        layer: its addition.
        change: how far the group's output moves without it, relative to the output's size; without images, how much
            the block adds judged by its last weights.
        dropped: whether it went.
    """

    group: int
    layer: str
    change: float
    dropped: bool


def drop_blocks(
    groups: Sequence[keras.Model], depth: float, *, data: np.ndarray | None = None, names: Sequence[str]
) -> tuple[Groups, tuple[BlockReport, ...], int]:
    """Copies of the groups in which the share ``depth`` of the residual blocks is left.

    Blocks with a projected shortcut count, but cannot go, and a group keeps one layer with weights at least; so the
    share that is left can be larger.

    Args:
        groups: first to last; they are not changed.
        depth: share of all residual blocks that stays, 0 to 1.
        data: preprocessed images, a few dozen, to measure by; ``None``: by weights.
        names: of the copies.

    Returns:
        The copies, a report of each block that could go, and the number of all residual blocks.

    Raises:
        ModelError: ``depth`` is out of range, or the images do not fit.
    """
    if isinstance(depth, bool) or not isinstance(depth, (int, float)) or not 0 <= depth <= 1:
        raise ModelError(f"Received depth {depth!r}; expected 0 to 1 (all): the share of residual blocks that stays.")
    if data is not None:
        check_images(groups[0], data)
    flats = [flatten_model(group) for group in groups]
    blocks = [find_blocks(flat) for flat in flats]
    changes = [[_added(block) for block in found] for found in blocks] if data is None else _moved(flats, blocks, data)
    num_blocks = sum(len(additions(flat)) for flat in flats)
    spare = num_blocks - math.ceil(round(depth * num_blocks, 9))
    bypasses: list[dict[Any, Any]] = [{} for _ in flats]
    order = sorted((changes[g][b], g, b) for g, found in enumerate(blocks) for b in range(len(found)))
    for _, group, index in order:
        more = {**bypasses[group], blocks[group][index].output: blocks[group][index].shortcut}
        if spare > 0 and _has_weights(flats[group], more):
            bypasses[group] = more
            spare -= 1
    copies = tuple(
        rebuild(flat, 0, len(flat.calls), name, bypass=bypass)
        for flat, name, bypass in zip(flats, names, bypasses, strict=True)
    )
    reports = tuple(
        BlockReport(group, block.layer, changes[group][index], block.output in bypasses[group])
        for group, found in enumerate(blocks)
        for index, block in enumerate(found)
    )
    return copies, reports, num_blocks


def _has_weights(flat: FlatModel, bypass: Bypass) -> bool:
    return any(getattr(c.operation, "weights", None) for c in needed_calls(flat.calls, flat.outputs[0], bypass))


def _moved(
    flats: Sequence[FlatModel], blocks: Sequence[Sequence[ResidualBlock]], data: np.ndarray
) -> list[list[float]]:
    """Per block: how far the group's output moves without it."""
    changes = []
    x: Any = keras.ops.convert_to_tensor(data)
    for flat, found in zip(flats, blocks, strict=True):
        whole = _answer(flat, x, {})
        size = float(np.linalg.norm(whole)) or 1.0
        changes.append(
            [float(np.linalg.norm(_answer(flat, x, {b.output: b.shortcut}) - whole)) / size for b in found]
        )  # fmt: skip
        x = keras.ops.convert_to_tensor(whole)
    return changes


def _answer(flat: FlatModel, x: Any, bypass: Bypass) -> np.ndarray:
    return np.asarray(run_calls(flat.calls, flat.inputs[0], x, flat.outputs[0], bypass=bypass))


def _added(block: ResidualBlock) -> float:
    """The root mean square of what the branch adds, as its last weights tell.

    Behind a batch normalization it is that of scale and offset; behind a kernel, for inputs of size 1, that of the
    norms of its output channels.
    """
    layer = next((c.operation for c in reversed(block.branch) if getattr(c.operation, "weights", None)), None)
    if layer is None:
        return 0.0
    if isinstance(layer, keras.layers.BatchNormalization):
        scale = 1.0 if layer.gamma is None else np.square(np.asarray(layer.gamma.value))
        offset = 0.0 if layer.beta is None else np.square(np.asarray(layer.beta.value))
        return float(np.sqrt(np.mean(scale + offset)))
    kernel = np.asarray(layer.weights[0].value, np.float64)
    return float(np.sqrt(np.square(kernel).sum() / kernel.shape[-1]))
