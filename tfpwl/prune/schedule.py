"""How much is left after each step of iterative pruning, in plain numbers that can be stored.

Bytes and latency are no sums over channels that a plan could count. So they are translated once, by a few trials that
are exported (and timed), into a budget of parameters or FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

import keras

from tfpwl.errors import ModelError
from tfpwl.prune.plan import COSTS, Options, most_that_goes, plan_pruning
from tfpwl.prune.report import PrunePlan
from tfpwl.prune.side import boundary_layers, join_groups
from tfpwl.prune.surgery import carve
from tfpwl.prune.targets import Target, time_share

Export = Callable[[keras.Model], bytes]
TimeShare = Callable[[bytes, bytes], float]
_TRIALS = 6
_CLOSE = 0.01  # a trial that takes away this much more than asked is good enough
_POWER = 3


@dataclass(frozen=True)
class Schedule:
    """What pruning may leave after each step.

    Attributes:
        kind: what is counted: ``flops``, ``params`` or ``channels``.
        whole: of the side before any pruning.
        allowed: the most that may be left after each step.
        target_kind, target_ratio: what was asked for.
        measured: share of the bytes (exact) or of the time (a measurement) that one step to the end took away when the
            schedule was made; ``None`` where the target is counted.
        bytes_allowed: for a target of bytes: the most that the file of the last step may have.
    """

    kind: str
    whole: int
    allowed: Sequence[int]
    target_kind: str
    target_ratio: float
    measured: float | None = None
    bytes_allowed: int | None = None

    @property
    def num_steps(self) -> int:
        """In how many steps it goes."""
        return len(self.allowed)


def step_ratio(final: float, step: int, steps: int) -> float:
    """The share that has gone after step ``step`` (1 to ``steps``): ``final · (1 - (1 - step/steps)³)``.

    The shape of tfmot's ``PolynomialDecay`` (``sparsity = final + (initial - final) · (1 - p)^power``, power 3, here
    from an initial 0; Zhu & Gupta, arXiv 1710.01878, eq. 1): much in the first steps, when there is most to spare, and
    little in the last.

    Example:
        >>> [round(step_ratio(0.5, step, 4), 3) for step in (1, 2, 3, 4)]
        [0.289, 0.438, 0.492, 0.5]
    """
    if not 1 <= step <= steps:
        raise ModelError(f"Received step {step!r} of {steps!r}; expected 1 up to the number of steps.")
    return final * (1 - (1 - step / steps) ** _POWER)


def make_schedule(
    groups: Sequence[keras.Model],
    target: Target,
    *,
    steps: int = 1,
    export: Export | None = None,
    keep_boundaries: Sequence[int] = (),
    measure: TimeShare = time_share,
    **options: Unpack[Options],
) -> Schedule:
    """Find what may be left after each of ``steps`` steps, and whether the target can be reached at all.

    Args:
        groups: one side, first to last (one model: a list of it); they are not changed.
        target: how much has to go in the end.
        steps: how many times pruning and training take turns.
        export: from a model to its .tflite file (``tfpwl.export.export_model``); needed for bytes and latency.
        keep_boundaries: boundaries whose channels stay.
        measure: share of the time of an answer that is left, from the files of the whole and the smaller model.
        **options: how channels are chosen, as for :func:`tfpwl.prune.plan_pruning`.

    Raises:
        ModelError: an argument is out of range, or the target cannot be reached.

    Example:
        >>> make_schedule(groups, Target("flops", 0.5), steps=4).allowed           # doctest: +SKIP
        (2844000, 2250000, 2031000, 2000000)
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ModelError(f"Received steps={steps!r}; expected a whole number of at least 1.")
    search = _Search(join_groups(groups), target, boundary_layers(groups, keep_boundaries), options)
    found = search.resolve(export, measure)
    allowed = tuple(int((1 - step_ratio(found.ratio, step, steps)) * search.whole) for step in range(1, steps + 1))
    bytes_allowed = None if found.bytes is None else int((1 - target.ratio) * found.bytes)
    return Schedule(search.kind, search.whole, allowed, target.kind, target.ratio, found.measured, bytes_allowed)


def plan_target(
    model: keras.Model,
    target: Target,
    *,
    export: Export | None = None,
    keep: Sequence[str] = (),
    measure: TimeShare = time_share,
    **options: Unpack[Options],
) -> tuple[PrunePlan, float | None]:
    """Plan to reach a target of any kind with one model in one step; nothing is changed.

    Args:
        model: a functional Keras 3 model.
        target, export, measure: as for :func:`make_schedule`.
        keep, **options: as for :func:`tfpwl.prune.plan_pruning`.

    Returns:
        The plan for :func:`tfpwl.prune.carve`, and the share of bytes or time that a trial of it took away (``None``
        where the target is counted).

    Raises:
        ModelError: as :func:`make_schedule`.
    """
    search = _Search(model, target, keep, options)
    found = search.resolve(export, measure)
    return search.plan(found.ratio), found.measured


@dataclass(frozen=True)
class _Found:
    """The share of what is counted that has to go; for a target of files: what that took away, bytes of the whole."""

    ratio: float
    measured: float | None = None
    bytes: int | None = None


class _Search:
    """Trials on one model: what is counted in place of the target, and how much of it has to go."""

    def __init__(self, model: keras.Model, target: Target, keep: Sequence[str], options: Options) -> None:
        self.kind = {"bytes": "params", "latency": "flops"}.get(target.kind, target.kind)
        self._model, self._target, self._keep, self._options = model, target, keep, options
        graph = self.plan(0.0).graph
        self.whole = COSTS[self.kind](graph, graph.keep_all())

    def plan(self, ratio: float) -> PrunePlan:
        """What stays when ``ratio`` of what is counted goes."""
        return plan_pruning(self._model, ratio, target=self.kind, keep=self._keep, **self._options)

    def resolve(self, export: Export | None, measure: TimeShare) -> _Found:
        """How much of what is counted has to go, by trials if need be."""
        if self.kind == self._target.kind:
            self.plan(self._target.ratio)  # whether it can be reached shows now, not after three steps of training
            return _Found(self._target.ratio)
        if export is None:
            raise ModelError(f"The target {self._target.kind} needs files: give export=tfpwl.export.export_model.")
        whole = export(self._model)
        if self._target.kind == "latency":
            return _Found(*self._find(lambda model: 1 - measure(whole, export(model))))
        return _Found(*self._find(lambda model: 1 - len(export(model)) / len(whole)), bytes=len(whole))

    def _find(self, gone: Callable[[keras.Model], float]) -> tuple[float, float]:
        """A small ratio with which ``gone``, a measured share, is what the target asks for; and that share."""
        goal = self._target.ratio
        low, high = 0.0, most_that_goes(self._model, target=self.kind, keep=self._keep, **self._options)
        ratio, found, most = min(goal, high), None, 0.0
        for trial in range(_TRIALS):
            share = gone(carve(self._model, self.plan(ratio)))
            most = max(most, share)
            if share >= goal:
                found, high = (ratio, share), ratio
            else:
                low = ratio
            if (found is not None and found[1] - goal <= _CLOSE) or low >= high:
                break
            ratio = ratio + 1.1 * (goal - share)
            if not low < ratio < high:
                ratio = (low + high) / 2
            if found is None and trial == _TRIALS - 2:
                ratio = high  # the last trial: all that can go
        if found is None:
            raise ModelError(
                f"{100 * goal:.4g} % of the {self._target.kind} cannot be taken away; of several trials the best took "
                f"{100 * most:.1f} %. Lower the ratio, or allow more with round_to or max_layer_ratio."
            )
        return found
