"""Milliseconds per answer of mixes on this machine, one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Bundle
from tfpwl.evaluate.accuracy import check_images
from tfpwl.evaluate.scorer import load_files, split
from tfpwl.mix import Mix

Array = NDArray[Any]
Name = TypeVar("Name", bound=Hashable)
_WARM_UP_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """Milliseconds of one answer: the median, and what nine answers of ten do not exceed."""

    median_ms: float
    p90_ms: float


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
    times = compare_latency({"bundle": bundle}, mixes, answers=answers, in_a_row=1, x=x)["bundle"]
    return {mix: taken.median_ms for mix, taken in times.items()}


def compare_latency(
    bundles: Mapping[Name, Bundle],
    mixes: Sequence[Mix],
    *,
    answers: int = 200,
    in_a_row: int = 2,
    x: Array | None = None,
) -> dict[Name, dict[Mix, AnswerTime]]:
    """Milliseconds of one answer of each mix of several bundles, all measured in turn in this process.

    Every mix of every bundle has its turn in each round: bundles measured one after another would differ by what else
    the machine does meanwhile.

    Args:
        bundles: the same pair at several precisions, by name.
        mixes, answers, x: as for :func:`measure_latency`.
        in_a_row: answers per turn, of which the last counts. An app answers one image after another; the first answer
            of a turn finds the weights of other files in the caches (on digits_vit a student of 0.04 ms took 0.11 ms).

    Raises:
        as :func:`measure_latency`.
    """
    if answers < 1:
        raise ValueError(f"Received answers={answers}; expected 1 or more.")
    chains = {(name, mix): chain for name, bundle in bundles.items() for mix, chain in _chains(bundle, mixes).items()}
    batches = {name: _batches(bundle, x) for name, bundle in bundles.items()}
    taken_ms: dict[tuple[Name, Mix], list[float]] = {key: [] for key in chains}
    for number in range(_WARM_UP_ROUNDS + answers):
        for (name, mix), chain in chains.items():
            batch = batches[name][number % len(batches[name])]
            taken = [_time_ms(chain, batch) for _ in range(in_a_row)][-1]
            if number >= _WARM_UP_ROUNDS:
                taken_ms[name, mix].append(taken)
    times: dict[Name, dict[Mix, AnswerTime]] = {name: {} for name in bundles}
    for (name, mix), taken_all in taken_ms.items():
        times[name][mix] = AnswerTime(statistics.median(taken_all), float(np.percentile(taken_all, 90)))
    return times


def _chains(bundle: Bundle, mixes: Sequence[Mix]) -> dict[Mix, list[Callable[[Array], Array]]]:
    chosen = tuple(dict.fromkeys(map(bundle.manifest.check_mix, mixes)))
    files = load_files(bundle, chosen)
    return {mix: [files[entry.file] for entry in bundle.chain(mix)] for mix in chosen}


def _batches(bundle: Bundle, x: Array | None) -> list[Array]:
    spec = bundle.manifest.input
    if x is None:
        x = np.random.default_rng(0).random(spec.shape).astype(spec.dtype)
    check_images(bundle, x)
    return split(x, spec.shape[0])


def _time_ms(chain: Sequence[Callable[[Array], Array]], x: Array) -> float:
    start = time.perf_counter()
    for group in chain:
        x = group(x)
    return 1e3 * (time.perf_counter() - start)
