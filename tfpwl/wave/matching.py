"""Which layer of a deeper or shallower model of the same family does the work of which layer of this one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras

from tfpwl.errors import ModelError
from tfpwl.wave.kinds import place_of

_Key = tuple[int, int | None, str]


def match_layers(student: Sequence[keras.Model], teacher: Sequence[keras.Model]) -> dict[str, str]:
    """:func:`match_names` for the layers of two models; classifiers of other numbers of classes are left out.

    Raises:
        ModelError: the numbers of groups differ in a staged family, or no layer matches.
    """
    names = [[layer.name for group in side for layer in group.layers if layer.weights] for side in (student, teacher)]
    matched = match_names(names[0], names[1], through=is_transformer(student))
    if student[-1].output_shape[-1] != teacher[-1].output_shape[-1]:
        return {name: source for name, source in matched.items() if place_of(name).what != "logits"}
    return matched


def is_transformer(groups: Sequence[keras.Model]) -> bool:
    """Whether blocks are alike throughout, so that they count through all groups."""
    return any(isinstance(layer, keras.layers.MultiHeadAttention) for group in groups for layer in group.layers)


def match_names(student: Iterable[str], teacher: Iterable[str], *, through: bool) -> dict[str, str]:
    """The teacher's layer for each layer of the student: same part, block at the same share of the depth.

    Layers that the teacher has not (a shortcut that only the student needs) are left out.

    Args:
        student: names as the families write them.
        teacher: as well.
        through: blocks count through all groups (ViT), not within each (staged families).

    Raises:
        ModelError: the numbers of groups differ and blocks count within groups, or no layer matches.

    Example:
        >>> match_names(["s_g0_layer0_fc1"], ["t_g0_layer0_fc1", "t_g1_layer0_fc1"], through=True)
        {'s_g0_layer0_fc1': 't_g0_layer0_fc1'}
    """
    own, others = _table(student, through), _table(teacher, through)
    if (num := len({key[0] for key in own})) != (other_num := len({key[0] for key in others})):
        raise ModelError(
            f"The student has {num} groups and the teacher {other_num}; layers are matched group by group, so give "
            "both as many stages."
        )
    depths, other_depths = _depths(own), _depths(others)
    matched = {}
    for (group, block, what), name in own.items():
        there = block
        if block is not None and group in other_depths:
            there = _same_share(block, depths[group], other_depths[group])
        if (source := others.get((group, there, what))) is not None:
            matched[name] = source
    if not matched:
        raise ModelError("No layer of the student has its like in the teacher; both must be of one family.")
    return matched


def _table(names: Iterable[str], through: bool) -> dict[_Key, str]:
    """Layer names by (group, block, part); with ``through``, as if the model were one group."""
    places = [(place_of(name), name) for name in names]
    if not through:
        return {(place.group, place.block, place.what): name for place, name in places}
    order = sorted({(place.group, place.block) for place, _ in places if place.block is not None})
    number = {where: index for index, where in enumerate(order)}
    return {
        (0, None if place.block is None else number[place.group, place.block], place.what): name
        for place, name in places
    }


def _depths(table: Iterable[_Key]) -> dict[int, int]:
    depths: dict[int, int] = {}
    for group, block, _ in table:
        if block is not None:
            depths[group] = max(depths.get(group, 0), block + 1)
    return depths


def _same_share(block: int, depth: int, other: int) -> int:
    return 0 if depth == 1 else round(block * (other - 1) / (depth - 1))
