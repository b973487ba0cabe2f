"""Milliseconds per answer of mixes on this machine, one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Bundle
from tfpwl.evaluate.accuracy import check_images
from tfpwl.evaluate.scorer import load_files, split
from tfpwl.mix import Mix

Array = NDArray[Any]
_WARM_UP_ROUNDS = 3


def measure_latency(
    bundle: Bundle, mixes: Sequence[Mix], *, answers: int = 50, x: Array | None = None
) -> dict[Mix, float]:
    """Median milliseconds of one answer of each mix.

    The mixes are measured in turn, one answer each per round, so that a machine that slows down for a while
    slows all of them. All files are loaded before; loading is not part of the figure.

    Args:
        bundle: the bundle to measure.
        mixes: which mixes.
        answers: rounds that count, after 3 that do not.
        x: images to answer, taken in turn; noise when None (on a CPU the time does not depend on the values).

    Raises:
        DataError: the images do not fit the bundle.
        ValueError: a mix has not one letter per group, or ``answers`` is below 1.
        IntegrityError: a file is not the one of the manifest.
        EngineError: a file does not run.

    Example:
        >>> measure_latency(bundle, [Mix("SSSS"), Mix("TTTT")])                    # doctest: +SKIP
        {'SSSS': 0.21, 'TTTT': 1.4}
    """
    if answers < 1:
        raise ValueError(f"Received answers={answers}; expected 1 or more.")
    spec = bundle.manifest.input
    if x is None:
        x = np.random.default_rng(0).random(spec.shape).astype(spec.dtype)
    check_images(bundle, x)
    chosen = tuple(dict.fromkeys(map(bundle.manifest.check_mix, mixes)))
    files = load_files(bundle, chosen)
    chains = {mix: [files[entry.file] for entry in bundle.chain(mix)] for mix in chosen}
    batches = split(x, spec.shape[0])
    taken_ms: dict[Mix, list[float]] = {mix: [] for mix in chosen}
    for number in range(_WARM_UP_ROUNDS + answers):
        batch = batches[number % len(batches)]
        for mix, chain in chains.items():
            taken = _time_ms(chain, batch)
            if number >= _WARM_UP_ROUNDS:
                taken_ms[mix].append(taken)
    return {mix: statistics.median(taken) for mix, taken in taken_ms.items()}


def _time_ms(chain: Sequence[Callable[[Array], Array]], x: Array) -> float:
    start = time.perf_counter()
    for group in chain:
        x = group(x)
    return 1e3 * (time.perf_counter() - start)
