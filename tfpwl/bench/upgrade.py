"""Answers while a bundle upgrades: how long each one took, and how long each mix takes when nothing loads."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.errors import TfpwlError
from tfpwl.mix import Mix, path
from tfpwl.runtime import ProgressiveModel, State

Array = NDArray[Any]
# Asked after the last swap: the first answers of a new chain belong to the upgrade, too.
_ANSWERS_AFTER = 5
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """When it was asked (ms since the bundle was opened), how long it took, the mixes before and after it."""

    asked_ms: float
    taken_ms: float
    mix: str
    mix_after: str


@dataclass(frozen=True, slots=True)
class UpgradeTrace:
    """One upgrade in a fresh process.

    Attributes:
        answers: all since the bundle was opened, the first one included.
        first_answer_ms: from opening to the first answer.
        full_teacher_ms: from opening to the moment when the all-teacher mix answers.
        steady_ms: median per mix of the path while nothing loads, measured afterwards in the same process.
        steady_worst_ms: the worst answer per mix while nothing loads: what the machine itself does to an answer.
    """

    answers: tuple[TimedAnswer, ...]
    first_answer_ms: float
    full_teacher_ms: float
    steady_ms: dict[str, float]
    steady_worst_ms: dict[str, float]

    def ratios(self) -> list[tuple[float, TimedAnswer]]:
        """Each answer during the upgrade, as a multiple of the steady median of the slower mix of its step."""
        mixes = list(self.steady_ms)
        following = dict(pairwise(mixes))
        before = {after: mix for mix, after in pairwise(mixes)}
        result = []
        for answer in self.answers[1:]:
            # A step is between the mix that answers and the next one; after the last swap, the last step.
            other = following.get(answer.mix, before.get(answer.mix, answer.mix))
            slower = max(self.steady_ms[answer.mix], self.steady_ms[other], self.steady_ms[answer.mix_after])
            result.append((answer.taken_ms / slower, answer))
        return result

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> UpgradeTrace:
        """What ``asdict`` made of one."""
        return cls(**{**fields, "answers": tuple(TimedAnswer(**answer) for answer in fields["answers"])})


def trace_upgrade(bundle: str, engine: str, threads: int, x: Array, *, steady_s: float) -> UpgradeTrace:
    """Open a bundle, upgrade it in the background while asking without a pause, then time each mix alone.

    Args:
        bundle: its path; nothing of it may be open in this process.
        engine: by name.
        threads: of the engine.
        x: the input to ask with.
        steady_s: seconds per mix.

    Raises:
        TfpwlError: the bundle cannot be opened, or the upgrade failed or took longer than two minutes.
    """
    start = time.perf_counter()
    with ProgressiveModel.open(bundle, engine=engine, threads=threads) as model:
        answers = [_ask(model, x, start)]
        complete: list[float] = []
        model.on_change(lambda change: complete.append(time.perf_counter()) if change.state is State.COMPLETE else None)
        model.upgrade()
        left = _ANSWERS_AFTER
        while left:
            answers.append(_ask(model, x, start))
            left -= model.state is not State.UPGRADING
            if answers[-1].asked_ms > 1e3 * _TIMEOUT_S:
                raise TfpwlError(f"The upgrade of {bundle} has not ended after {_TIMEOUT_S:.0f} s.")
        model.wait()
        if model.last_error is not None:
            raise model.last_error
        steady, worst = _time_mixes(model, x, steady_s)
    return UpgradeTrace(
        tuple(answers), answers[0].asked_ms + answers[0].taken_ms, 1e3 * (complete[0] - start), steady, worst
    )


def _ask(model: ProgressiveModel, x: Array, start: float) -> TimedAnswer:
    before = model.mix
    asked = time.perf_counter()
    model.predict(x)
    taken = time.perf_counter() - asked
    # Opening counts as part of the first answer's waiting, so its time is from `start` on.
    return TimedAnswer(1e3 * (asked - start), 1e3 * taken, str(before), str(model.mix))


def _time_mixes(model: ProgressiveModel, x: Array, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    steady, worst = {}, {}
    model.downgrade()
    for mix in path(model.bundle.manifest.order):
        model.upgrade(until=mix, background=False)
        times = time_answers(lambda: model.predict(x), seconds)[1:]
        steady[str(mix)], worst[str(mix)] = statistics.median(times), max(times)
    return steady, worst


def time_answers(answer: Any, seconds: float, *, least: int = 5) -> list[float]:
    """Milliseconds of answers asked one after another for some seconds, at least ``least`` of them."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        start = time.perf_counter()
        answer()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


@dataclass(frozen=True, slots=True)
class CrowdResult:
    """Threads that ask while the mix changes: how many answers, how many of them missing or of no mix."""

    threads: int
    upgrades: int
    asked: int
    lost: int
    wrong: int


def ask_from_threads(
    bundle: str, engine: str, x: Array, *, num_threads: int, upgrades: int, threads: int = 1
) -> CrowdResult:
    """Let threads ask without a pause while the bundle goes up and down; compare each answer bit for bit.

    An answer is right if it is the one that a mix of the path gives, from the mix before it was asked to the mix
    after it came.

    Args:
        bundle: its path.
        engine: by name.
        x: inputs, ``(k, *input shape)``; the threads take them in turn.
        num_threads: that ask.
        upgrades: full upgrades, each followed by a downgrade.
        threads: of the engine.
    """
    expected = _answers_of_all_mixes(bundle, engine, x, threads)
    mixes = list(expected)
    counts = [[0, 0, 0] for _ in range(num_threads)]
    stop = threading.Event()
    with ProgressiveModel.open(bundle, engine=engine, threads=threads) as model:

        def ask(place: int) -> None:
            number = place
            while not stop.is_set():
                counts[place][0] += 1
                which = number % len(x)
                number += 1
                try:
                    answer = model.predict(x[which])
                except TfpwlError:
                    counts[place][1] += 1
                    continue
                # The mix may have gone up and down meanwhile, so every mix of the path may have answered.
                if not any(np.array_equal(answer, expected[mix][which]) for mix in mixes):
                    counts[place][2] += 1

        crowd = [threading.Thread(target=ask, args=(place,)) for place in range(num_threads)]
        for thread in crowd:
            thread.start()
        try:
            for _ in range(upgrades):
                model.upgrade()
                model.wait()
                if model.last_error is not None:
                    raise model.last_error
                model.downgrade()
        finally:
            stop.set()
            for thread in crowd:
                thread.join()
    asked, lost, wrong = (sum(count[i] for count in counts) for i in range(3))
    return CrowdResult(num_threads, upgrades, asked, lost, wrong)


def _answers_of_all_mixes(bundle: str, engine: str, x: Array, threads: int) -> dict[Mix, list[Array]]:
    found = {}
    with ProgressiveModel.open(bundle, engine=engine, threads=threads) as model:
        for mix in path(model.bundle.manifest.order):
            model.upgrade(until=mix, background=False)
            found[mix] = [model.predict(one) for one in x]
    return found
