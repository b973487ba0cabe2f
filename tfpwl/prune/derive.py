"""A student made from any teacher: narrower by pruning, shallower by leaving residual blocks out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tfpwl.pairs import ModelPair
from tfpwl.prune.depth import BlockReport, drop_blocks
from tfpwl.prune.importance import Calibration, Score
from tfpwl.prune.pair import fit_converters
from tfpwl.prune.plan import plan_width
from tfpwl.prune.report import PruneReport
from tfpwl.prune.side import CarvedSide, Groups, carve_side, join_groups


@dataclass(frozen=True)
class DeriveReport:
    """How a student came to be.

    Attributes:
        width, depth: what was asked for.
        num_blocks: residual blocks of the teacher, those that cannot go included.
        blocks: those that can go.
        boundaries: channels of student and teacher at each boundary.
        prune: what went, from the teacher without the dropped blocks.
        notes: what could not be done as asked.
    """

    width: float
    depth: float
    num_blocks: int
    blocks: tuple[BlockReport, ...]
    boundaries: tuple[tuple[int, int], ...]
    prune: PruneReport
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Derived:
    """A student, and converters between it and its teacher that pick the channels it has and put them back."""

    student_groups: Groups
    encoders: tuple[keras.Model | None, ...]
    decoders: tuple[keras.Model | None, ...]
    report: DeriveReport

    def pair(self, teacher_groups: Sequence[keras.Model]) -> ModelPair:
        """The pair with the teacher that the student was made from."""
        return ModelPair(self.student_groups, tuple(teacher_groups), self.encoders, self.decoders)


def derive_student(
    teacher_groups: Sequence[keras.Model],
    width: float = 0.35,
    depth: float = 0.5,
    importance: str | Score = "l2",
    data: np.ndarray | None = None,
    *,
    round_to: int = 8,
    calibration: Calibration | None = None,
    seed: int = 0,
    name: str = "student",
) -> Derived:
    """Make a student out of a teacher of any architecture.

    It starts from the teacher's own most important channels, and encoders and decoders start as the matching
    selection matrices, so a mix of the two answers sensibly before anything is trained. Estimate its batch
    normalizations anew (:func:`tfpwl.models.reestimate_statistics`), then distil.

    Args:
        teacher_groups: trained groups, such as :func:`tfpwl.models.cut` makes, that end in logits; they are not
            changed.
        width: share of each layer's channels that stays, more than 0 to 1, rounded up to ``round_to``.
        depth: share of the residual blocks that stays, 0 to 1. Only blocks with an identity shortcut can go; a model
            without residual blocks keeps its depth, and the report says so.
        importance: which channels are the important ones; see :func:`tfpwl.prune.plan_pruning`.
        data: preprocessed images, a few dozen, that tell which blocks matter least; without them, weights do.
        round_to: channel counts that change become multiples of it; a narrower layer keeps all.
        calibration: for ``taylor``, with a loss of the whole teacher's output.
        seed: for ``random``.
        name: prefix of the groups' names.

    Raises:
        ModelError: an argument is out of range, or a group cannot be read.

    Example:
        >>> teacher = cut(model, groups=4)                                         # doctest: +SKIP
        >>> derived = derive_student(teacher, width=0.35, depth=0.5, data=images)  # doctest: +SKIP
        >>> pair = derived.pair(teacher)                                           # doctest: +SKIP
    """
    teacher = tuple(teacher_groups)
    join_groups(teacher)
    names = [f"{name}_g{i}" for i in range(len(teacher))]
    shallow, blocks, num_blocks = drop_blocks(teacher, depth, data=data, names=names)
    joined = join_groups(shallow)
    plan = plan_width(joined, width, importance, round_to=round_to, calibration=calibration, seed=seed)
    student = carve_side(shallow, joined, plan)
    everything = tuple(np.arange(group.output_shape[-1]) for group in teacher[:-1])
    none = (None,) * len(everything)
    pair = fit_converters(ModelPair(teacher, teacher, none, none), student, CarvedSide(teacher, everything))
    report = DeriveReport(
        width=width, depth=depth, num_blocks=num_blocks, blocks=blocks,
        boundaries=tuple((boundary.student[-1], boundary.teacher[-1]) for boundary in pair.boundaries),
        prune=plan.report, notes=tuple(_notes(depth, num_blocks, blocks)),
    )  # fmt: skip
    return Derived(pair.student, pair.encoders, pair.decoders, report)


def _notes(depth: float, num_blocks: int, blocks: Sequence[BlockReport]) -> Iterator[str]:
    if depth == 1:
        return
    left = num_blocks - sum(block.dropped for block in blocks)
    if not num_blocks:
        yield f"depth {depth:g}: the teacher has no residual blocks, so all of its layers stay."
    elif left > round(depth * num_blocks + 0.5):
        yield (
            f"depth {depth:g}: {left} of {num_blocks} residual blocks stay; only {len(blocks)} have an identity "
            "shortcut, and a group keeps one layer with weights."
        )
