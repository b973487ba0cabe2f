"""Which mix a training step runs: drawn at random, and handed to the step as data."""

from __future__ import annotations

import random
from itertools import pairwise

import keras
import numpy as np

from tfpwl.mix import STUDENT, Mix, all_mixes, path, prefix_order
from tfpwl.training import Batches

# What a step does in each group for its mix. Up to the first switch the mix equals the student or the teacher,
# whose features the step has already.
REUSE_STUDENT, REUSE_TEACHER, RUN_STUDENT, RUN_TEACHER = range(4)


def plan_mix(mix: Mix) -> np.ndarray:
    """One number per group: take the feature that is known, or run the student's or the teacher's group.

    Example:
        >>> plan_mix(Mix("TTSS")).tolist() == [REUSE_TEACHER, REUSE_TEACHER, RUN_STUDENT, RUN_STUDENT]
        True
    """
    reuse, run = (REUSE_STUDENT, REUSE_TEACHER), (RUN_STUDENT, RUN_TEACHER)
    switched = np.cumsum([0, *(before != now for before, now in pairwise(mix))]) > 0
    codes = [(run if late else reuse)[side != STUDENT] for side, late in zip(mix, switched, strict=True)]
    return np.array(codes, np.int32)


class MixSampler:
    """Draws the random mix of each step.

    With probability ``single_switch`` one switch point, either side first; else independent coin flips, never
    all the same side (arXiv 2509.22319). With probability ``path_share``, which the paper does not have,
    one of the mixes that a device walks through instead. The mix depends on (seed, epoch, step) alone, so a
    resumed run draws what the undisturbed run would have drawn.
    """

    def __init__(self, num_groups: int, *, single_switch: float = 0.5, path_share: float = 0.0, seed: int = 0) -> None:
        self._mixed = [mix for mix in all_mixes(num_groups) if mix.switches]
        self._single = [mix for mix in self._mixed if len(mix.switches) == 1]
        self._path = [mix for mix in path(prefix_order(num_groups)) if mix.switches]
        self._single_switch, self._path_share = single_switch, path_share
        self._seed = seed

    def draw(self, epoch: int, step: int) -> Mix:
        """The mix of a step, both counted from 0."""
        chance = random.Random(f"{self._seed}:{epoch}:{step}")
        if chance.random() < self._path_share:
            return chance.choice(self._path)
        return chance.choice(self._single if chance.random() < self._single_switch else self._mixed)


class MixedBatches(keras.utils.PyDataset):
    """The batches of another data set, each with the plan of a mix: ``((images, plan), labels)``."""

    def __init__(self, batches: Batches, sampler: MixSampler) -> None:
        super().__init__()
        self._batches, self._sampler = batches, sampler
        self.batch_size = batches.batch_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        images, labels = self._batches[index]
        return (images, plan_mix(self._sampler.draw(self._epoch, index))), labels
