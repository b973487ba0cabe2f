"""Pruning sides of a pair: boundaries keep matching, converters lose the same channels or come into being."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import numpy as np

from tfpwl.errors import ModelError
from tfpwl.pairs import ModelPair, make_pair
from tfpwl.prune.groups import check_done, shrink_side
from tfpwl.prune.plan import Options
from tfpwl.prune.schedule import Export, Schedule
from tfpwl.prune.side import CarvedSide, Groups, boundary_layers

SIDES = ("student", "teacher")
TunePair = Callable[[ModelPair, int], None]


def prune_pair(
    pair: ModelPair,
    schedules: Mapping[str, Schedule],
    *,
    tune: TunePair | None = None,
    done: int = 0,
    export: Export | None = None,
    **options: Unpack[Options],
) -> ModelPair:
    """Prune the student, the teacher or both in the steps of their schedules.

    The channels of a boundary go in the group before it, in the group after it and in its converters; a side that has
    no schedule stays what it is, the very same models. Where widths become different for the first time, the
    converters that appear pick and put back the channels that stayed. Widths of a boundary never become equal: at a
    boundary where pruning would bring the teacher down to the student's width, its channels stay. Where both sides are
    pruned and there are no converters, a channel is the same on both sides, and so all stay.

    Args:
        pair: it is not changed.
        schedules: by side, ``student`` or ``teacher``; all with the same number of steps.
        tune: called after each step with the smaller pair and the number of the step (from 0); trains it in place and
            may store it (:func:`tfpwl.pairs.save_pair`).
        done: steps that were done before; ``pair`` is then what the last of them left, and the schedules the same.
        export: from a model to its .tflite file; needed where a target is bytes.
        **options: how channels are chosen, as for :func:`tfpwl.prune.plan_pruning`.

    Raises:
        ModelError: an argument is out of range, or a step cannot be reached.

    Example:
        >>> schedule = make_schedule(pair.student, Target("flops", 0.5), steps=4)  # doctest: +SKIP
        >>> smaller = prune_pair(pair, {"student": schedule}, tune=train_and_store)  # doctest: +SKIP
    """
    num_steps = _check_schedules(schedules)
    check_done(done, num_steps)
    for step in range(done, num_steps):
        pair = _step(pair, schedules, step, export, options)
        if tune is not None:
            tune(pair, step)
    return pair


def _check_schedules(schedules: Mapping[str, Schedule]) -> int:
    if not schedules or not set(schedules) <= set(SIDES):
        raise ModelError(f"Received schedules for {sorted(schedules) or 'no side'}; expected {' or '.join(SIDES)}.")
    counts = {side: schedule.num_steps for side, schedule in schedules.items()}
    if len(set(counts.values())) > 1:
        raise ModelError(f"Received schedules of {counts} steps; expected the same number for both sides.")
    return next(iter(counts.values()))


def _step(
    pair: ModelPair, schedules: Mapping[str, Schedule], step: int, export: Export | None, options: Options
) -> ModelPair:
    together = [i for i, encoder in enumerate(pair.encoders) if encoder is None] if len(schedules) > 1 else []

    def shrink(side: str, groups: Groups, held: Sequence[int]) -> CarvedSide:
        if side not in schedules:
            return CarvedSide(groups, tuple(np.arange(group.output_shape[-1]) for group in groups[:-1]))
        return shrink_side(
            groups, schedules[side], step, keep=boundary_layers(groups, held), export=export, options=options
        )

    student = shrink("student", pair.student, together)
    held = together
    while True:
        teacher = shrink("teacher", pair.teacher, held)
        low = [
            i
            for i, (s, t, encoder) in enumerate(zip(student.kept, teacher.kept, pair.encoders, strict=True))
            if i not in held and (len(t) < len(s) or (len(t) == len(s) and encoder is not None))
        ]
        if not low or "teacher" not in schedules:
            return fit_converters(pair, student, teacher)
        held = sorted({*held, *low})


def fit_converters(pair: ModelPair, student: CarvedSide, teacher: CarvedSide) -> ModelPair:
    """The smaller sides with converters that do what those of ``pair`` did for the channels that stayed.

    Without converters before, a channel was the same on both sides: it is picked where it stayed, and 0 where not.

    Raises:
        ModelError: the sides do not match any more.
    """
    smaller = make_pair(student.groups, teacher.groups)
    for i, (encoder, decoder) in enumerate(zip(smaller.encoders, smaller.decoders, strict=True)):
        s, t = student.kept[i], teacher.kept[i]
        for new, old, source, into in ((encoder, pair.encoders[i], t, s), (decoder, pair.decoders[i], s, t)):
            if new is None:
                continue
            if old is None:
                kernel, bias = source[:, None] == into[None, :], np.zeros(len(into))
            else:
                kernel, bias = old.get_weights()
                kernel, bias = kernel[..., source, :][..., into], bias[into]
            # A 1×1 convolution or a dense layer, as make_pair chose; the numbers are the same.
            new.set_weights([kernel.reshape(new.weights[0].shape), bias])
    return smaller
