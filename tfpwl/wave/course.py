"""Training one size many times from different weights, with one compiled step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from tfpwl.config import TrainConfig
from tfpwl.data import Dataset, Split
from tfpwl.errors import TrainingError
from tfpwl.fused import fuse_batchnorm
from tfpwl.pairs import compose
from tfpwl.training import Batches, cross_entropy
from tfpwl.wave.matching import is_transformer

Groups = Sequence[keras.Model]
Weights = list[np.ndarray]
SplitName = Literal["test", "validation"]
_PREDICT_BATCH = 500


class Course:
    """A model of one size that is trained again and again.

    :func:`tfpwl.training.fit` compiles at every call, which takes as long as five epochs of such a model; here weights
    and optimizer are put back instead. AdamW with the cosine of :func:`tfpwl.training.make_optimizer`.

    Args:
        groups: of the size; not changed.
        data: its training images train, its other splits measure.
        config: of every run, without epochs and learning rate.
        subset: train on the first so many images.
        limit: measure on the first so many images of a split.
    """

    def __init__(
        self, groups: Groups, data: Dataset, config: TrainConfig, subset: int | None, limit: int | None
    ) -> None:
        self._model = compose([fuse_batchnorm(group) for group in groups], "course")
        self._data, self._config, self._subset, self._limit = data, config, subset, limit
        optimizer = keras.optimizers.AdamW(
            config.learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clip_norm
        )
        # On one core XLA halves the step of a ViT and doubles that of a ResNet.
        jit: Any = is_transformer(groups) if keras.backend.backend() == "tensorflow" else "auto"
        self._model.compile(optimizer, loss=cross_entropy(config.label_smoothing), jit_compile=jit)
        optimizer.build(self._model.trainable_variables)
        self._fresh = [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]

    @property
    def num_parameters(self) -> int:
        return int(self._model.count_params())

    def batches(self, seed: int) -> Batches:
        """The training images in batches, in an order drawn from ``seed``."""
        train = self._data.train
        return Batches(
            train.x[: self._subset], train.y[: self._subset], self._data.preprocess, self._config.batch_size, seed
        )

    def train(self, weights: Weights, epochs: int, seed: int, rate: float, split: SplitName) -> float:
        """Train from ``weights`` for ``epochs`` (0 trains nothing); returns the accuracy on ``split``, 0 to 1.

        Args:
            weights: of all groups, as :func:`weights_of` gives them.
            epochs: the schedule's length.
            seed: of the order of images.
            rate: the schedule's highest learning rate.
            split: measured after training; nothing is chosen by it here.

        Raises:
            TrainingError: the loss is not finite.
        """
        self._model.set_weights(weights)
        optimizer = self._model.optimizer
        for variable, value in zip(optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        batches = self.batches(seed)
        steps = epochs * len(batches)
        for epoch in range(epochs):
            batches.set_epoch(epoch)
            loss = 0.0
            for index in range(len(batches)):
                optimizer.learning_rate = self._scheduled(rate, epoch * len(batches) + index, steps)
                loss = float(self._model.train_on_batch(*batches[index]))
            if not math.isfinite(loss):
                raise TrainingError(f"The loss is {loss} after epoch {epoch + 1}; lower `learning_rate`.")
        return self._accuracy(self._data.test if split == "test" else self._data.val)

    def _scheduled(self, rate: float, step: int, steps: int) -> float:
        warmup = round(self._config.warmup * steps)
        if step < warmup:
            return rate * step / warmup
        share = (step - warmup) / max(1, steps - warmup)
        low = min(rate, self._config.final_learning_rate)
        return low + (rate - low) * 0.5 * (1.0 + math.cos(math.pi * share))

    def _accuracy(self, split: Split) -> float:
        x, y = split.x[: self._limit], split.y[: self._limit]
        right = 0
        for start in range(0, len(y), _PREDICT_BATCH):
            chosen = slice(start, start + _PREDICT_BATCH)
            logits = np.asarray(self._model.predict_on_batch(self._data.preprocess(x[chosen])))
            right += int((logits.argmax(-1) == y[chosen]).sum())
        return right / len(y)


def weights_of(groups: Groups) -> Weights:
    """All weights of the groups, in the order that a composed model has."""
    return [value for group in groups for value in group.get_weights()]
