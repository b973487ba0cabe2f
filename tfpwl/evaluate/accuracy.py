"""Accuracy of mixes, measured through the .tflite files of a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl import mix as mix_module
from tfpwl.bundle import Bundle
from tfpwl.errors import DataError
from tfpwl.evaluate.pool import Slice, WorkerPool
from tfpwl.evaluate.scorer import Scorer
from tfpwl.mix import Mix

Array = NDArray[Any]
# 2**6 = 64 mixes; beyond that only the path is evaluated unless the caller names the mixes.
MAX_GROUPS_FOR_ALL_MIXES = 6
_SLICE_IMAGES = 64
# A worker takes 0.3 s to start. All 16 mixes of 2,000 digits take 0.23 s here and 0.52 s in two workers; 200 images
# of the CIFAR ResNet pair 5.7 s and 3.0 s (2 cores).
_MIN_SLICES_PER_WORKER = 16


@dataclass(frozen=True, slots=True)
class MixResult:
    """Right answers of a mix on a test set."""

    mix: Mix
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Fraction 0..1."""
        return self.correct / self.total


def default_mixes(order: Sequence[int]) -> tuple[Mix, ...]:
    """All mixes of at most 6 groups, else those of the path that ``order`` walks."""
    if len(order) <= MAX_GROUPS_FOR_ALL_MIXES:
        return mix_module.all_mixes(len(order))
    return mix_module.path(order)


def evaluate_mixes(
    bundle: Bundle,
    x: Array,
    y: Array,
    mixes: Sequence[Mix] | None = None,
    *,
    raw: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[Mix, MixResult]:
    """Count the right answers of mixes on a whole test set, through the bundle's files.

    Every file's checksum is looked at before it is loaded. The counts do not depend on ``workers``.

    Args:
        bundle: the bundle to evaluate.
        x: images, ``(n, *input shape)``: preprocessed, of the bundle's input dtype (float32), or raw.
        y: class indices, ``(n,)``.
        mixes: which mixes; all ``2**N`` of at most 6 groups by default, else the path.
        raw: the images still need the bundle's preprocessing. They get it a few at a time, for as float32 a large set
            of bytes takes four times the memory.
        workers: processes; by default one per available core, fewer where there are few images. With 1 the work is
            done in this process.
        on_progress: called with ``(images done, images in all)`` after each slice.

    Returns:
        A result per mix, in the order of ``mixes``.

    Raises:
        DataError: images or labels do not fit the bundle.
        ValueError: a mix has not one letter per group, or ``workers`` is below 1.
        IntegrityError: a file is not the one of the manifest.
        EngineError: a file does not run, or a worker died.

    Example:
        >>> results = evaluate_mixes(Bundle.open("runs/digits/bundle"), x, y)      # doctest: +SKIP
        >>> results[Mix("TTTT")].accuracy                                          # doctest: +SKIP
        0.983
    """
    check_images(bundle, bundle.manifest.input.prepare(x[:1]) if raw else x)
    _check_labels(bundle, x, y)
    manifest = bundle.manifest
    chosen = tuple(dict.fromkeys(default_mixes(manifest.order) if mixes is None else map(manifest.check_mix, mixes)))
    slices = [(x[i : i + _SLICE_IMAGES], y[i : i + _SLICE_IMAGES]) for i in range(0, len(x), _SLICE_IMAGES)]
    correct, done = np.zeros(len(chosen), np.int64), 0
    for counts, num_images in _score(bundle, chosen, slices, _num_workers(workers, len(slices)), raw):
        correct += counts
        done += num_images
        if on_progress is not None:
            on_progress(done, len(x))
    return {mix: MixResult(mix, int(n), len(x)) for mix, n in zip(chosen, correct, strict=True)}


def _score(
    bundle: Bundle, mixes: Sequence[Mix], slices: Sequence[Slice], num_workers: int, raw: bool
) -> Iterator[tuple[list[int], int]]:
    if num_workers == 1:
        scorer = Scorer(bundle, mixes, raw=raw)
        for images, labels in slices:
            yield scorer.count(images, labels), len(labels)
        return
    with WorkerPool(bundle, mixes, num_workers, raw=raw) as pool:
        yield from pool.score(slices)


def _num_workers(workers: int | None, num_slices: int) -> int:
    if workers is None:
        # The cores that this process may use: in a container fewer than the machine has.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(cores, num_slices // _MIN_SLICES_PER_WORKER))
    if workers < 1:
        raise ValueError(f"Received workers={workers}; expected 1 or more.")
    return min(workers, num_slices)


def check_images(bundle: Bundle, x: Array) -> None:
    """Check that ``x`` is a non-empty stack of inputs of the bundle.

    Raises:
        DataError: when it is not.
    """
    spec = bundle.manifest.input
    if x.ndim == 0 or len(x) == 0 or x.shape[1:] != spec.shape[1:] or x.dtype != spec.dtype:
        raise DataError(
            f"Received images of shape {x.shape} and dtype {x.dtype}; expected n of {spec.shape[1:]}, n at least 1, "
            f"and {spec.dtype}. Apply the manifest's preprocessing first."
        )


def _check_labels(bundle: Bundle, x: Array, y: Array) -> None:
    classes = bundle.manifest.output.shape[-1]
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise DataError(f"Received labels of shape {y.shape} and dtype {y.dtype}; expected ({len(x)},) class indices.")
    if y.min() < 0 or y.max() >= classes:
        raise DataError(f"Received labels {y.min()} to {y.max()}; expected 0 to {classes - 1}, the bundle's classes.")
