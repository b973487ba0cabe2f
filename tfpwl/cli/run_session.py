"""A progressive model that answers images while it upgrades, and what is counted about it."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl import mix as mixes
from tfpwl.bundle import Bundle
from tfpwl.cli.bundle_data import BundleData
from tfpwl.mix import Mix
from tfpwl.runtime import ProgressiveModel, State

Array = NDArray[Any]
# With a pace somebody is watching: fewer answers a second than this look as if nothing happened.
_MIN_ANSWERS_PER_S = 20
_RECENT = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """One call of ``predict``: which images (a batch of them), by which mix, how long, since the model was opened."""

    number: int
    images: Array
    mix: Mix
    ms: float
    at_ms: float
    output: Array


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the model upgrades: after so many answers it goes on to a mix (None: as far as it can)."""

    num_answers: int
    upgrades: Mapping[int, str | None]
    interval_s: float

    @classmethod
    def make(cls, num_answers: int, order: tuple[int, ...], pace_s: float) -> Schedule:
        """Upgrade at full speed after the first answer or, with a pace, stay on each mix for an equal share.

        Args:
            num_answers: that one pass through the data takes.
            order: of the upgrade.
            pace_s: seconds for which each mix answers, at least; 0 for full speed.
        """
        if pace_s <= 0:
            return cls(num_answers, {1: None}, 0.0)
        path = mixes.path(order)
        share = max(math.ceil(num_answers / len(path)), math.ceil(pace_s * _MIN_ANSWERS_PER_S))
        upgrades: dict[int, str | None] = {share * index: mix for index, mix in enumerate(path) if index}
        return cls(share * len(path), upgrades, pace_s / share)


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a bundle, read once."""

    names: tuple[str, ...]
    are_logits: bool

    @classmethod
    def of(cls, bundle: Bundle) -> Classes:
        output = bundle.manifest.output
        names = bundle.labels or tuple(map(str, range(output.shape[-1])))
        return cls(names, output.kind == "logits")

    def top(self, output: Array, count: int) -> list[tuple[str, float]]:
        """The likeliest classes of the answer for one image (classes,) and their probabilities."""
        if self.are_logits:
            shifted = np.exp(output - output.max())
            output = shifted / shifted.sum()
        return [(self.names[i], float(output[i])) for i in np.argsort(-output, kind="stable")[:count]]


@dataclass(slots=True)
class MixTally:
    """What one mix answered; ``ms`` has one entry per answer, ``right`` is None without labels."""

    mix: Mix
    since_ms: float
    right: int | None
    last: Answer
    images: int = 0
    ms: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> float | None:
        return None if self.right is None else self.right / self.images

    @property
    def recent_ms(self) -> float:
        return statistics.median(self.ms[-_RECENT:])


@dataclass(slots=True)
class Tally:
    """The answers so far, by mix in order of appearance."""

    data: BundleData
    classes: Classes
    mixes: dict[Mix, MixTally] = field(default_factory=dict)
    last: Answer | None = None

    def add(self, answer: Answer) -> None:
        labels = self.data.y
        entry = self.mixes.get(answer.mix)
        if entry is None:
            since = answer.at_ms - answer.ms
            entry = MixTally(answer.mix, since, None if labels is None else 0, answer)
            self.mixes[answer.mix] = entry
        entry.ms.append(answer.ms)
        entry.images += len(answer.images)
        if labels is not None and entry.right is not None:
            entry.right += int((answer.output.argmax(axis=-1) == labels[answer.images]).sum())
        entry.last = self.last = answer


def answers(model: ProgressiveModel, data: BundleData, schedule: Schedule, opened: float) -> Iterator[Answer]:
    """Answer the images one batch after another, from the start again until the upgrade is over.

    Args:
        model: open; it is upgraded as ``schedule`` says.
        data: raw images.
        schedule: how many answers there are at least, and when the model upgrades.
        opened: ``time.perf_counter()`` when the model was about to be opened.
    """
    batch = model.bundle.manifest.input.shape[0]
    due = time.perf_counter()
    for number in itertools.count():
        images = np.arange(number * batch, (number + 1) * batch) % len(data)
        x = model.preprocess(data.x[images])
        # An answer takes the chain of the moment; a swap between these two lines is put down to the mix before.
        mix, begun = model.mix, time.perf_counter()
        output = model.predict(x)
        done = time.perf_counter()
        yield Answer(number, images, mix, 1e3 * (done - begun), 1e3 * (done - opened), output)
        answered = number + 1
        if answered in schedule.upgrades and model.state is not State.FAILED:
            model.upgrade(until=schedule.upgrades[answered])
        if answered >= schedule.num_answers and model.state is not State.UPGRADING and mix == model.mix:
            return
        if schedule.interval_s:
            due = max(due + schedule.interval_s, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
