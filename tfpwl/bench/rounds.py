"""Many upgrades and downgrades in one process: does memory grow, are files or threads left?"""

from __future__ import annotations

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
        files = native = 0
        for number in range(rounds):
            model.upgrade()
            model.wait()
            if model.last_error is not None:
                raise model.last_error
            model.predict(x)
            model.downgrade()
            model.predict(x)
            if number == 0:
                files, native = num_open_files(), num_threads()
            if number % every == every - 1:
                places.append(number)
                anonymous.append(footprint().anonymous or 0)
                if on_progress is not None:
                    on_progress(number + 1, rounds)
        left = num_open_files() - files, num_threads() - native
    half = len(places) // 2
    later = (np.array(places[half:], float), np.array(anonymous[half:], float))
    slope = float(np.polyfit(*later, 1)[0]) if len(later[0]) > 1 else 0.0
    return RoundsResult(rounds, slope, tuple(anonymous), *left)
