"""Many upgrades and downgrades in one process: does memory grow, are files or threads left?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bench.process import footprint, num_open_files, num_threads
from tfpwl.runtime import ProgressiveModel

Array = NDArray[Any]
_SAMPLES = 50


@dataclass(frozen=True, slots=True)
class RoundsResult:
    """What rounds of upgrade and downgrade left behind.

    Attributes:
        rounds: how many.
        slope_bytes: growth of anonymous memory per round: a straight line through the samples of the second half.
        anonymous: samples in bytes, evenly over the rounds, each after a downgrade.
        files_left, threads_left: more than there were after the first round.
    """

    rounds: int
    slope_bytes: float
    anonymous: tuple[int, ...]
    files_left: int
    threads_left: int


def repeat_upgrades(
    bundle: str,
    engine: str,
    x: Array,
    *,
    rounds: int,
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> RoundsResult:
    """Upgrade in the background, wait, answer, downgrade, answer; ``rounds`` times.

    Memory is looked at in the second half: in the first one allocators still find out what they need.

    Raises:
        TfpwlError: the bundle cannot be opened or an upgrade failed.
    """
    every = max(1, rounds // _SAMPLES)
    places, anonymous = [], []
    with ProgressiveModel.open(bundle, engine=engine, threads=threads) as model:
        first = (0, 0)
        for number in range(rounds):
            model.upgrade()
            model.wait()
            if model.last_error is not None:
                raise model.last_error
            model.predict(x)
            model.downgrade()
            model.predict(x)
            if number == 0:
                first = _fewest(0.2)
            if number % every == every - 1:
                places.append(number)
                anonymous.append(footprint().anonymous or 0)
                if on_progress is not None:
                    on_progress(number + 1, rounds)
        last = _fewest(2.0, first)
    half = len(places) // 2
    later = (np.array(places[half:], float), np.array(anonymous[half:], float))
    slope = float(np.polyfit(*later, 1)[0]) if len(later[0]) > 1 else 0.0
    return RoundsResult(rounds, slope, tuple(anonymous), last[0] - first[0], last[1] - first[1])


def _fewest(patience_s: float, enough: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Open files and threads, without a thread of low priority that has done its work and needs time to end."""
    deadline = time.monotonic() + patience_s
    files, threads = num_open_files(), num_threads()
    while time.monotonic() < deadline and (files > enough[0] or threads > enough[1]):
        time.sleep(0.01)
        files, threads = min(files, num_open_files()), min(threads, num_threads())
    return files, threads
