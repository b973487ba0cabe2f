"""Pruning one side in steps, with training in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.prune.plan import COSTS, Options, plan_pruning
from tfpwl.prune.schedule import Export, Schedule
from tfpwl.prune.side import CarvedSide, Groups, boundary_layers, carve_side, join_groups

_EXPORTS = 4  # of the last step, until the file is small enough

TuneGroups = Callable[[Groups, int], None]


def prune_groups(
    groups: Sequence[keras.Model],
    schedule: Schedule,
    *,
    tune: TuneGroups | None = None,
    done: int = 0,
    export: Export | None = None,
    keep_boundaries: Sequence[int] = (),
    **options: Unpack[Options],
) -> Groups:
    """Prune one side in the steps of ``schedule``; importance is measured anew at each.

    Use it on a teacher alone (or on a single model: a list of it); :func:`tfpwl.prune.prune_pair` prunes a side of a
    pair.

    Args:
        groups: first to last; they are not changed.
        schedule: of :func:`tfpwl.prune.make_schedule`.
        tune: called after each step with the smaller groups and the number of the step (from 0); trains them in place
            and may store them.
        done: steps that were done before; ``groups`` are then what the last of them left, and ``schedule`` the same.
        export: from a model to its .tflite file; needed where the target is bytes, to make sure of them in the end.
        keep_boundaries: boundaries whose channels stay.
        **options: how channels are chosen, as for :func:`tfpwl.prune.plan_pruning`; ``max_layer_ratio`` is of each
            step.

    Returns:
        New groups with the same names (after ``done`` steps of as many: the same ones).

    Raises:
        ModelError: an argument is out of range, or a step cannot be reached.

    Example:
        >>> schedule = make_schedule(teacher, Target("flops", 0.5), steps=3)       # doctest: +SKIP
        >>> smaller = prune_groups(teacher, schedule, tune=lambda groups, step: train(groups))  # doctest: +SKIP
    """
    check_done(done, schedule.num_steps)
    pruned = tuple(groups)
    for step in range(done, schedule.num_steps):
        keep = boundary_layers(pruned, keep_boundaries)
        pruned = shrink_side(pruned, schedule, step, keep=keep, export=export, options=options).groups
        if tune is not None:
            tune(pruned, step)
    return pruned


def check_done(done: int, num_steps: int) -> None:
    """Raise :class:`ModelError` unless ``done`` of ``num_steps`` steps can have been done."""
    if not 0 <= done <= num_steps:
        raise ModelError(f"Received done={done!r}; expected 0 to {num_steps}, the number of steps of the schedule.")


def shrink_side(
    groups: Groups, schedule: Schedule, step: int, *, keep: Sequence[str], export: Export | None, options: Options
) -> CarvedSide:
    """One step: the groups with what ``schedule`` allows after it."""
    if schedule.bytes_allowed is None or step < schedule.num_steps - 1:
        return _shrink(groups, schedule.kind, schedule.allowed[step], keep, options)
    if export is None:
        raise ModelError("The schedule is of bytes: give export=tfpwl.export.export_model.")
    allowed = schedule.allowed[step]
    for _ in range(_EXPORTS):
        carved = _shrink(groups, schedule.kind, allowed, keep, options)
        size = len(export(join_groups(carved.groups)))
        if size <= schedule.bytes_allowed:
            return carved
        # Which parameters are left has changed since the schedule was made, and a file does not hold all of them
        # (conversion folds batch normalizations).
        allowed = int(allowed * schedule.bytes_allowed / size) - 1
    raise ModelError(f"The file has {size} bytes after pruning; expected at most {schedule.bytes_allowed}.")


def _shrink(groups: Groups, kind: str, allowed: int, keep: Sequence[str], options: Options) -> CarvedSide:
    joined = join_groups(groups)
    graph = plan_pruning(joined, 0.0, target=kind).graph
    cost = COSTS[kind](graph, graph.keep_all())
    ratio = max(0.0, 1 - allowed / max(cost, 1))
    if ratio == 0:
        return CarvedSide(groups, tuple(np.arange(group.output_shape[-1]) for group in groups[:-1]))
    return carve_side(groups, joined, plan_pruning(joined, ratio, target=kind, keep=keep, **options))
