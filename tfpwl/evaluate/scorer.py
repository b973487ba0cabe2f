"""Right answers of many mixes on a slice of images, in one process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Bundle
from tfpwl.evaluate.tree import Node, build_tree
from tfpwl.mix import Mix
from tfpwl.runtime import InterpreterEngine, LoadedGroup

Array = NDArray[Any]


def load_files(bundle: Bundle, mixes: Iterable[Mix]) -> dict[str, LoadedGroup]:
    """Every file that ``mixes`` need, loaded once, by its name.

    Raises:
        IntegrityError: a file is not the one of the manifest; its checksum is looked at before it is loaded.
        EngineError: the interpreter refuses a file.
    """
    engine = InterpreterEngine()
    entries = {entry.file: entry for mix in mixes for entry in bundle.chain(mix)}
    # `Bundle.read` checks the sum: a broken flatbuffer can take the process down.
    return {name: engine.load(bundle.read(entry), threads=1) for name, entry in entries.items()}


class Scorer:
    """Counts right answers of ``mixes``; what mixes have in common is computed once.

    Example:
        >>> Scorer(bundle, [Mix("SS"), Mix("TT")]).count(x, y)                     # doctest: +SKIP
        [181, 190]
    """

    def __init__(self, bundle: Bundle, mixes: Sequence[Mix], *, raw: bool = False) -> None:
        self._mixes = tuple(mixes)
        self._prepare = bundle.manifest.input.prepare if raw else None
        self._batch = bundle.manifest.input.shape[0]
        self._roots = build_tree(bundle, mixes)
        self._files = load_files(bundle, mixes)

    def count(self, x: Array, y: Array) -> list[int]:
        """Right answers on images ``x`` with labels ``y``, one number per mix in the order given.

        Args:
            x: images, ``(n, h, w, c)``; preprocessed, or raw where the scorer is one for raw images.
            y: class indices, ``(n,)``.
        """
        right: dict[Mix, int] = {}
        batches = split(x if self._prepare is None else self._prepare(x), self._batch)
        for root in self._roots:
            self._run(root, batches, y, right)
        return [right[mix] for mix in self._mixes]

    def _run(self, node: Node, batches: list[Array], y: Array, right: dict[Mix, int]) -> None:
        # One file over the whole slice, not all files over one image: its weights stay in the cache.
        group = self._files[node.entry.file]
        answers = [group(batch) for batch in batches]
        if node.mix is not None:
            right[node.mix] = count_right(np.concatenate(answers)[: len(y)], y)
        for child in node.children:
            self._run(child, answers, y, right)


def split(x: Array, batch: int) -> list[Array]:
    """``x`` in batches of exactly ``batch`` images; the last one is filled up with its last image."""
    missing = -len(x) % batch
    if missing:
        x = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)])
    return [x[start : start + batch] for start in range(0, len(x), batch)]


def count_right(answers: Array, y: Array) -> int:
    """How many rows of ``answers`` (n, classes) have their largest value at the label; a row with NaN is wrong."""
    # argmax takes NaN for the largest value, and would count it as right where it stands at the label.
    sound = ~np.isnan(answers).any(axis=-1)
    return int(np.sum(sound & (answers.argmax(axis=-1) == y)))
