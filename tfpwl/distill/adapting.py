"""Adapt a finished pair to other images: one side or both learn, and everything else stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from tfpwl.config import TrainConfig
from tfpwl.distill import losses
from tfpwl.fused import fold_batchnorm, fuse_batchnorm
from tfpwl.mix import STUDENT, TEACHER
from tfpwl.pairs import ModelPair
from tfpwl.training import Batches, History, OnProgress, Seedable, fit

Tensor = losses.Tensor


def adapt(
    pair: ModelPair,
    batches: Batches,
    config: TrainConfig,
    sides: Collection[str],
    *,
    augment: keras.Model | None = None,
    seedables: Sequence[Seedable] = (),
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> History:
    """Train groups of a finished pair in place; converters and the other side are not changed by a bit.

    The loss is the cross-entropy of the sides that learn and of every mix with one switch. Those mixes run through the
    frozen converters, and with one side through the other's frozen groups: what the boundaries mean stays.

    Batch normalization keeps its statistics: those of a few images would be poor ones.

    Args:
        pair: distilled, and pruned if it is to be.
        batches: images to learn from.
        config: of the fit.
        sides: that learn: ``"student"``, ``"teacher"`` or both.
        augment: applied to each batch.
        seedables: random sources of ``augment``.
        checkpoint: folder for the state after every epoch; an interrupted run goes on from it.
        on_progress: called with steps done, steps in all, metrics.

    Raises:
        TrainingError: the loss is not finite.

    Example:
        >>> adapt(pair, batches, TrainConfig(epochs=2, learning_rate=0.005), ["student"])   # doctest: +SKIP
    """
    net = AdaptNet(pair, sides, label_smoothing=config.label_smoothing, augment=augment)
    history = fit(net, batches, config, seedables=seedables, checkpoint=checkpoint, on_progress=on_progress)
    for side in sides:
        for group, trained in zip(getattr(pair, side), getattr(net, f"{side}_groups"), strict=True):
            group.set_weights(trained.get_weights())
    return history


class AdaptNet(keras.Model):
    """Both sides and every mix with one switch as one model, of which some groups learn.

    In training ``call`` answers with a list of logits, one per mix. It works on copies, so that the pair that is
    handed in keeps what it says about being trainable.

    Args:
        pair: the pair; not changed.
        sides: that learn.
        label_smoothing: share of the target spread evenly over all classes.
        augment: model applied to the images; only in training.
    """

    def __init__(
        self,
        pair: ModelPair,
        sides: Collection[str],
        *,
        label_smoothing: float = 0.0,
        augment: keras.Model | None = None,
    ) -> None:
        super().__init__(name="adaptnet")
        self.student_groups = [_copy(group, "student" in sides) for group in pair.student]
        self.teacher_groups = [_copy(group, "teacher" in sides) for group in pair.teacher]
        self.converters = {
            f"{i}{into}": fold_batchnorm(converter)
            for i in range(pair.num_groups - 1)
            for into in (STUDENT, TEACHER)
            if (converter := pair.converter(i, into)) is not None
        }
        self.augment = augment
        self._sides = tuple(sides)
        self._label_smoothing = label_smoothing
        self._trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", "accuracy")}
        self.built = True

    def call(self, images: Any, training: bool = False) -> list[Tensor]:
        x = self.augment(images, training=True) if training and self.augment is not None else images
        features = {"student": _run(self.student_groups, x), "teacher": _run(self.teacher_groups, x)}
        logits = [features[side][-1] for side in self._sides]
        for i in range(len(self.student_groups) - 1):
            logits.append(_run(self.student_groups[i + 1 :], self._convert(i, STUDENT, features["teacher"][i]))[-1])
            logits.append(_run(self.teacher_groups[i + 1 :], self._convert(i, TEACHER, features["student"][i]))[-1])
        return logits

    def _convert(self, boundary: int, into: str, feature: Tensor) -> Tensor:
        converter = self.converters.get(f"{boundary}{into}")
        return feature if converter is None else converter(feature, training=False)

    def compute_loss(
        self, x: Tensor = None, y: Tensor = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        terms = [losses.hard_loss(z, y, label_smoothing=self._label_smoothing) for z in y_pred]
        loss = sum(terms) / len(terms)
        self._trackers["loss"].update_state(loss)
        return loss

    def compute_metrics(self, x: Tensor, y: Tensor, y_pred: Any, sample_weight: Any = None) -> dict[str, Tensor]:
        hits = ops.equal(ops.cast(ops.argmax(y_pred[0], axis=-1), "int32"), ops.cast(y, "int32"))
        self._trackers["accuracy"].update_state(ops.cast(hits, "float32"))
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._trackers.values())


def _copy(group: keras.Model, learns: bool) -> keras.Model:
    return fuse_batchnorm(group) if learns else fold_batchnorm(group)


def _run(groups: Sequence[keras.Model], x: Tensor) -> list[Tensor]:
    outputs = []
    for group in groups:
        x = group(x, training=False)
        outputs.append(x)
    return outputs
