"""Stratified splitting: every class gives its share."""

from __future__ import annotations

import numpy as np


def stratified_split(y: np.ndarray, fraction: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the examples labelled ``y`` into a large and a small part with the same mix of classes.

    Every class gives ``fraction`` of its examples to the small part, rounded, but at least one, and keeps at least one;
    a class with a single example keeps it.

    Args:
        y: labels (n,), ints.
        fraction: share of the small part, between 0 and 1.
        seed: decides which examples go where.

    Returns:
        Indices into ``y`` of the large part and of the small part, each in ascending order.

    Example:
        >>> large, small = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=0)
        >>> len(large), len(small)
        (4, 2)
    """
    rng = np.random.default_rng(seed)
    small: list[np.ndarray] = []
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        count = min(len(members) - 1, max(1, round(len(members) * fraction)))
        small.append(rng.permutation(members)[:count])
    small_part = np.sort(np.concatenate(small)) if small else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(y)), small_part), small_part
