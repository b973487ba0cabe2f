"""Which mixes an upgrade walks through from where the model stands."""

from __future__ import annotations

from collections.abc import Sequence

from tfpwl import mix as mixes
from tfpwl.bundle import Manifest
from tfpwl.mix import STUDENT, Mix
from tfpwl.runtime.footprint import estimate_bytes


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


def best_within(
    manifest: Manifest, start: Mix, mixes: Sequence[Mix], resident_bytes: int, budget: int
) -> tuple[Mix, ...]:
    """The beginning of ``mixes`` that leads to the best mix within a budget of memory.

    A mix can be reached when the one before it and the files that it adds fit together, for that is what a swap
    needs. Of those the one with the highest accuracy in the manifest's path is taken (the later one, where two are
    equal); where the accuracy of one of them is not known, the last one.

    Args:
        manifest: of the bundle.
        start: the mix of the moment.
        mixes: the mixes after it, as from :func:`plan_upgrade`.
        resident_bytes: what ``start`` takes.
        budget: bytes that may be taken at any time.
    """
    accuracy = {entry.mix: entry.accuracy for entry in manifest.path}
    # What is known to be taken now, against what is estimated for files that nobody has read.
    spare = budget - resident_bytes
    reached = [start]
    for mix in mixes:
        before = {entry.file: entry.bytes for entry in manifest.chain(reached[-1])}
        after = {entry.file: entry.bytes for entry in manifest.chain(mix)}
        added = sum(_estimate(manifest, size) for file, size in after.items() if file not in before)
        if added > spare:
            break
        spare += sum(_estimate(manifest, size) for file, size in before.items() if file not in after) - added
        reached.append(mix)
    measured = [accuracy.get(mix) for mix in reached]
    best = len(reached) - 1
    if None not in measured:
        best = max(range(len(reached)), key=lambda i: (measured[i], i))
    return tuple(reached[1 : best + 1])


def _estimate(manifest: Manifest, num_bytes: int) -> int:
    return estimate_bytes(num_bytes, manifest.precision)


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
