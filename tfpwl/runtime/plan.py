"""Which mixes an upgrade walks through from where the model stands."""

from __future__ import annotations

from collections.abc import Sequence

from tfpwl import mix as mixes
from tfpwl.bundle import Manifest
from tfpwl.mix import STUDENT, Mix


def plan_upgrade(manifest: Manifest, start: Mix, order: Sequence[int] | None, until: str | None) -> tuple[Mix, ...]:
    """The mixes after ``start``, one more teacher group each, along ``order`` up to ``until``.

    Args:
        manifest: of the bundle; its order is the default.
        start: any mix; groups that are the teacher's already are passed over.
        order: a permutation of the groups.
        until: ``start`` or a later mix on the way; all-teacher by default.

    Raises:
        ValueError: ``order`` is no permutation of the groups, or ``until`` is not on the way.
    """
    order = manifest.order if order is None else tuple(order)
    if len(order) != manifest.num_groups:
        raise ValueError(f"Received order {list(order)}; expected each group 0..{manifest.num_groups - 1} once.")
    mixes.path(order)
    way = [start]
    for group in order:
        if start[group] == STUDENT:
            way.append(way[-1].with_teacher(group))
    if until is None:
        return tuple(way[1:])
    target = manifest.check_mix(until)
    if target not in way:
        raise ValueError(f"Received until={str(target)!r}; order {list(order)} leads through {' → '.join(way)}.")
    return tuple(way[1 : way.index(target) + 1])


def check_downgrade(manifest: Manifest, start: Mix, mix: str) -> Mix:
    """``mix`` as a :class:`Mix`, if it has no teacher group that ``start`` lacks.

    Raises:
        ValueError: when it has, or has another number of groups.
    """
    target = manifest.check_mix(mix)
    if any(now == STUDENT != then for now, then in zip(start, target, strict=True)):
        raise ValueError(
            f"Received mix {str(target)!r}; the model answers with {str(start)!r}, which has less of the teacher. "
            "Use upgrade()."
        )
    return target
