"""Channel units: which channels of which tensors have to stay or go together.

A *unit* is a number. Every tensor's last axis carries an array of units, one per channel; equal units are one and the
same channel, wherever they turn up. A layer that makes channels (a convolution, say) makes a *block* of new units; one
that ties channels (an addition) unites units. So a concatenation is a concatenation of arrays, a flatten a tiling, and
no offset is ever computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.int64]  # the units of one axis


@dataclass(frozen=True, slots=True)
class Block:
    """The units that one layer makes: ``start … start + size - 1``.

    ``width`` is how many channels a unit stands for when counts are rounded: 1, or the size of an attention head.
    """

    name: str
    start: int
    size: int
    width: int = 1

    @property
    def units(self) -> Map:
        return np.arange(self.start, self.start + self.size)


class Units:
    """Makes units, unites and closes them; :meth:`resolve` says which are the same in the end."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._count = 0
        self._left: list[Map] = []
        self._right: list[Map] = []
        self._closed: list[Map] = []

    def __len__(self) -> int:
        return self._count

    def new(self, name: str, size: int, width: int = 1) -> Map:
        """A block of ``size`` new units."""
        block = Block(name, self._count, size, width)
        self.blocks.append(block)
        self._count += size
        return block.units

    def unite(self, left: Map, right: Map) -> None:
        """Make ``left[i]`` and ``right[i]`` the same, for every ``i``; ``right`` may be a single unit."""
        if left is not right:
            self._left.append(left)
            self._right.append(np.broadcast_to(right, left.shape))

    def close(self, units: Map) -> None:
        """Units that must stay, with all that are united with them."""
        self._closed.append(units)

    def resolve(self) -> tuple[Map, npt.NDArray[np.bool_]]:
        """``(root, closed)``: the smallest unit that each unit is united with, and whether it must stay.

        Label propagation with pointer jumping; every round at least halves the chains, so it is a few passes of numpy
        over all ties.
        """
        root = np.arange(self._count)
        left = np.concatenate([*self._left, np.zeros(0, np.int64)]).astype(np.int64)
        right = np.concatenate([*self._right, np.zeros(0, np.int64)]).astype(np.int64)
        while True:
            a, b = root[left], root[right]
            if np.array_equal(a, b):
                break
            low = np.minimum(a, b)
            np.minimum.at(root, a, low)
            np.minimum.at(root, b, low)
            while not np.array_equal(root, root[root]):
                root = root[root]
        closed = np.zeros(self._count, bool)
        for units in self._closed:
            closed[root[units]] = True
        return root, closed[root]
