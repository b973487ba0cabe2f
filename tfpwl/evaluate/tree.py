"""The files that mixes need, as a tree in which a shared beginning stands once.

All 16 mixes of 4 groups are 64 group runs one by one; as a tree they are 2 + 4 + 8 + 16 = 30.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tfpwl.bundle import Bundle, FileEntry
from tfpwl.mix import Mix


@dataclass
class Node:
    """A file to run on what its parent gave; ``mix`` is set where that mix's answer comes out."""

    entry: FileEntry
    mix: Mix | None = None
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def build_tree(bundle: Bundle, mixes: Iterable[Mix]) -> list[Node]:
    """The first files of ``mixes``, with all that follows below them.

    Raises:
        ValueError: when a mix has not one letter per group of the bundle.
    """
    roots: list[Node] = []
    for mix in mixes:
        siblings = roots
        for entry in bundle.chain(mix):
            node = _find_or_add(siblings, entry)
            siblings = node.children
        node.mix = mix
    return roots


def _find_or_add(siblings: list[Node], entry: FileEntry) -> Node:
    for node in siblings:
        if node.entry == entry:
            return node
    siblings.append(Node(entry))
    return siblings[-1]


def count_runs(roots: Iterable[Node]) -> int:
    """How many files run for one batch of images."""
    return sum(1 for root in roots for _ in root.walk())
