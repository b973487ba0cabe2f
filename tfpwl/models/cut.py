"""Cutting any functional model into groups, by names of layers or so that the bytes of their weights balance."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import keras

from tfpwl.errors import ModelError
from tfpwl.models.calls import FlatModel
from tfpwl.models.cut_points import CutPoint, alive_after, bytes_by_call, points_of, shared_spans, single_path
from tfpwl.models.regroup import rebuild

# A stretch without a cut point is reported when it alone is this much heavier than an even share.
_TOO_HEAVY = 1.25


@dataclass(frozen=True)
class GroupSize:
    """One group of a cut: its first and last layer, weights and FLOPs (``None`` where they were not counted)."""

    name: str
    first: str
    last: str
    num_layers: int
    bytes: int
    flops: int | None
    output_shape: tuple[int | None, ...]


@dataclass(frozen=True)
class CutPlan:
    """Where a model is cut; ``warnings`` say what could not be balanced."""

    cuts: tuple[CutPoint, ...]
    groups: tuple[GroupSize, ...]
    points: tuple[CutPoint, ...]
    warnings: tuple[str, ...]


def plan_cuts(
    model: keras.Model,
    groups: int | None = None,
    cuts: Sequence[str] | None = None,
    *,
    flops: Mapping[str, int] | None = None,
) -> CutPlan:
    """Choose where to cut, by number of groups or by names of layers; nothing is built.

    By number, the heaviest group is made as light as it can be, and among the cuts that do so the sum of squares of the
    groups' bytes is the smallest (both exact, by dynamic programming). Between two layers with weights the smallest
    tensor is taken, and of equal ones the last: after the activation, before a padding or a flatten.

    Args:
        model: a functional model with one input and one output.
        groups: how many groups.
        cuts: instead of it, the layers to cut after.
        flops: of each layer, for the sizes of the groups (:func:`tfpwl.prune.flops_by_layer` counts them).

    Raises:
        ModelError: neither or both are given, there are too few cut points, or a name is unknown or no cut point.
    """
    flat = single_path(model)
    points = points_of(flat)
    if (groups is None) == (cuts is None):
        raise ModelError("Give either `groups`, a number, or `cuts`, the names of the layers to cut after.")
    chosen = _by_name(flat, points, cuts) if cuts is not None else _balanced(flat, points, groups or 0)
    sizes = _group_sizes(model.name, flat, chosen, flops)
    return CutPlan(chosen, sizes, points, tuple(_warnings(flat, points, len(chosen) + 1)))


def cut(model: keras.Model, groups: int | None = None, cuts: Sequence[str] | None = None) -> tuple[keras.Model, ...]:
    """Cut ``model`` into functional groups that give its answer when they run one after another.

    Groups, cuts and errors as :func:`plan_cuts`. The groups have copies of the weights and the layers' names (a layer
    of a nested model keeps its own name where it is the only one of that name); they are called ``<model>_g0``, …

    Example:
        >>> inputs = keras.Input((4,))
        >>> x = keras.layers.Dense(3, name="a")(inputs)
        >>> model = keras.Model(inputs, keras.layers.Dense(2, name="b")(x), name="m")
        >>> [(group.name, group.output_shape) for group in cut(model, groups=2)]
        [('m_g0', (None, 3)), ('m_g1', (None, 2))]
    """
    plan = plan_cuts(model, groups, cuts)
    flat = single_path(model)
    stretches = _stretches(flat, plan.cuts)
    return tuple(rebuild(flat, start, stop, f"{model.name}_g{i}") for i, (start, stop) in enumerate(stretches))


def _stretches(flat: FlatModel, cuts: Sequence[CutPoint]) -> list[tuple[int, int]]:
    return list(pairwise([0, *(point.position + 1 for point in cuts), len(flat.calls)]))


def _by_name(flat: FlatModel, points: Sequence[CutPoint], names: Sequence[str]) -> tuple[CutPoint, ...]:
    if not names or len(set(names)) != len(names):
        raise ModelError(f"Received cuts {list(names)}; expected one or more names, each once.")
    by_name = {point.layer: point for point in points}
    chosen = [by_name[name] if name in by_name else _refuse(flat, points, name) for name in names]
    return tuple(sorted(chosen, key=lambda point: point.position))


def _refuse(flat: FlatModel, points: Sequence[CutPoint], name: str) -> CutPoint:
    places = [position for position, call in enumerate(flat.calls) if call.name == name]
    if not places:
        close = difflib.get_close_matches(name, [point.layer for point in points], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else " `tfpwl cut` lists the layers to cut after."
        raise ModelError(f"The model has no layer {name!r}.{hint}")
    position = places[-1]
    if position == len(flat.calls) - 1:
        raise ModelError(f"{name!r} is the last layer; nothing would be left for the group after it.")
    before = [point.layer for point in points if point.position < position][-1:]
    after = [point.layer for point in points if point.position > position][:1]
    nearest = " and ".join(repr(layer) for layer in (*before, *after)) or "none"
    raise ModelError(
        f"The model cannot be cut after {name!r}: {_why_not(flat, position)}. Nearest cut points: {nearest}."
    )


def _why_not(flat: FlatModel, position: int) -> str:
    call = flat.calls[position]
    alive = list(alive_after(flat))[position] - set(call.outputs)
    readers = [later.name for later in flat.calls[position + 1 :] if alive & set(later.inputs)]
    makers = [earlier.name for earlier in flat.calls[: position + 1] if alive & set(earlier.outputs)] or ["the input"]
    if alive:
        return f"{_few(makers)} bypasses it, read further on by {_few(readers)}"
    if any(first <= position < last for first, last in shared_spans(flat)):
        return "a layer with weights is called on both sides of it"
    return "its output is no single float tensor with channels, or carries a mask"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) if name != "the input" else name for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _balanced(flat: FlatModel, points: Sequence[CutPoint], groups: int) -> tuple[CutPoint, ...]:
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ModelError(f"Received groups={groups!r}; expected a whole number of at least 1.")
    total = sum(bytes_by_call(flat.calls))
    candidates = _one_per_weight(points, total)
    if groups - 1 > len(candidates):
        raise ModelError(
            f"{groups} groups need {groups - 1} cut points, and the model has {len(candidates)} with weights on both "
            f"sides. Ask for at most {len(candidates) + 1} groups."
        )
    edges = [0, *(point.bytes_before for point in candidates), total]
    return tuple(candidates[edge - 1] for edge in balance(edges, groups))


def _one_per_weight(points: Sequence[CutPoint], total: int) -> list[CutPoint]:
    """Of the points between the same two layers with weights, the smallest tensor; a map of pixels before a vector."""
    best: dict[int, CutPoint] = {}
    for point in points:
        if 0 < point.bytes_before < total and not point.folds:
            other = best.get(point.bytes_before)
            if other is None or _size_key(point) <= _size_key(other):
                best[point.bytes_before] = point
    return sorted(best.values(), key=lambda point: point.position)


def _size_key(point: CutPoint) -> tuple[int, int]:
    return math.prod(size or 1 for size in point.shape), -len(point.shape)


def balance(edges: Sequence[int], groups: int) -> list[int]:
    """Indices of the inner ``edges`` (rising totals) that part them into ``groups`` with the lightest heaviest part.

    Ties are broken by the smallest sum of squares.

    Example:
        >>> balance([0, 1, 2, 3, 9], 2)
        [3]
    """
    last = len(edges) - 1
    heaviest, _ = _best_sums(edges, groups, max, float)
    limit = heaviest[groups][last]
    _, came = _best_sums(edges, groups, operator.add, lambda size: float(size) ** 2 if size <= limit else math.inf)
    cuts, edge = [], last
    for group in range(groups, 1, -1):
        edge = came[group][edge]
        cuts.append(edge)
    return cuts[::-1]


def _best_sums(
    edges: Sequence[int], groups: int, join: Callable[[float, float], float], cost: Callable[[int], float]
) -> tuple[list[list[float]], list[list[int]]]:
    """For each number of groups and each edge: the best joint cost up to it, and the edge before."""
    last = len(edges) - 1
    best = [[math.inf] * (last + 1) for _ in range(groups + 1)]
    came = [[0] * (last + 1) for _ in range(groups + 1)]
    best[0][0] = 0.0
    for group in range(1, groups + 1):
        for stop in range(group, last + 1):
            for start in range(group - 1, stop):
                found = join(best[group - 1][start], cost(edges[stop] - edges[start]))
                if found < best[group][stop]:
                    best[group][stop], came[group][stop] = found, start
    return best, came


def _group_sizes(
    name: str, flat: FlatModel, cuts: Sequence[CutPoint], flops: Mapping[str, int] | None
) -> tuple[GroupSize, ...]:
    sizes = bytes_by_call(flat.calls)
    groups = []
    for index, (start, stop) in enumerate(_stretches(flat, cuts)):
        calls = [call for call in flat.calls[start:stop] if call.inputs != call.outputs]
        names = list(dict.fromkeys(call.name for call in calls))
        groups.append(
            GroupSize(
                f"{name}_g{index}", names[0], names[-1], len(names), sum(sizes[start:stop]),
                None if flops is None else sum(flops.get(layer, 0) for layer in names), calls[-1].outputs[0].shape[1:],
            )
        )  # fmt: skip
    return tuple(groups)


def _warnings(flat: FlatModel, points: Sequence[CutPoint], groups: int) -> Iterator[str]:
    total = sum(bytes_by_call(flat.calls))
    candidates = _one_per_weight(points, total)
    names = ["the input", *(repr(point.layer) for point in candidates), "the output"]
    edges = [0, *(point.bytes_before for point in candidates), total]
    for index in range(len(edges) - 1):
        size = edges[index + 1] - edges[index]
        if groups > 1 and size > _TOO_HEAVY * total / groups:
            yield (
                f"Between {names[index]} and {names[index + 1]} are {size / 1e6:.2f} MB of {total / 1e6:.2f} MB, and "
                f"the model cannot be cut there: {groups} even groups would have {total / groups / 1e6:.2f} MB."
            )
