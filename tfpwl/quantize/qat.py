"""Quantization-aware training of a pair: every mix of the path at once, against the float teacher.

The road: fold batch normalizations, rebuild every group and converter in tf_keras (:mod:`tfpwl.quantize.twin`), let
tfmot pretend the rounding inside them (:mod:`tfpwl.quantize.eight_bit`) and round every boundary by its one range
(:mod:`tfpwl.quantize.rounded`), train all of it for a few epochs, carry the weights back. What comes out is a float
pair again, which is exported and calibrated as any other, with the boundaries' ranges pinned: there is one road to the
files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfpwl.checkpoint import load_epoch, save_epoch
from tfpwl.config import QatConfig
from tfpwl.errors import QuantizationError, TrainingError
from tfpwl.mix import Mix
from tfpwl.pairs import ModelPair
from tfpwl.quantize.calibration import BoundaryRange
from tfpwl.quantize.chain import runs
from tfpwl.quantize.folded import as_pair, folded_models
from tfpwl.quantize.twin import build_twin, legacy_keras
from tfpwl.training import BatchSource, History, OnProgress

# Of the PWL losses: what distillation takes by default.
_TEMPERATURE, _ALPHA = 2.0, 0.4
_CLIP_NORM = 1.0
# Of the logarithm of a range: on a cosine over 60 steps it can shrink to exp(-3), a twentieth.
_RANGE_LEARNING_RATE = 0.1
_CALIBRATION_BATCHES = 8


_Step: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]


class FineTuned(NamedTuple):
    """What :func:`fine_tune` gives back.

    Attributes:
        pair: float, batch normalizations folded.
        history: loss and the worst mix's accuracy of each epoch.
        boundaries: the ranges it was trained under, to be pinned in the files.
    """

    pair: ModelPair
    history: History
    boundaries: tuple[BoundaryRange, ...]


def fine_tune(
    pair: ModelPair,
    batches: BatchSource,
    config: QatConfig,
    *,
    mixes: Sequence[Mix],
    ranges: Sequence[BoundaryRange] | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> FineTuned:
    """Fine-tune every group and converter of a pair under the rounding of int8; the pair handed in is not changed.

    Each step runs all ``mixes`` and takes the mean of their PWL losses, ``α · CE + (1 - α) · T² · KL(float teacher ‖
    mix)`` (arXiv 2509.22319). Converters that no mix runs follow the features by the sync loss. Keras may run on any
    backend; this trains on TensorFlow.

    Args:
        pair: a trained pair of a family without normalizations of its own (lenet5, vgg, resnet).
        batches: preprocessed training images and class indices, as :class:`tfpwl.training.Batches`.
        config: epochs and learning rate (Adam, falling to 0 on a cosine).
        mixes: the mixes to train: those of the path.
        ranges: of both sides of every boundary, kept as they are; None starts from what the float pair gives on the
            first batches and learns them. An outlier among the channels is better taken out before, by
            :func:`tfpwl.quantize.equalize.equalize`.
        seed: of whatever draws random numbers.
        checkpoint: folder for the state after every epoch; an interrupted run goes on from it.
        on_progress: called with steps done, steps in all, metrics.

    Raises:
        QuantizationError: a layer that tfmot does not take (the message names it), activations that are not finite, or
            another number of ranges than boundaries.
        TrainingError: the loss is not finite.

    Example:
        >>> tuned = fine_tune(pair, batches, QatConfig(), mixes=path(prefix_order(4)))   # doctest: +SKIP
        >>> files = export_pair(tuned.pair)                                        # doctest: +SKIP
        >>> calibration = calibrate(files, x, boundaries=tuned.boundaries)         # doctest: +SKIP
    """
    if ranges is not None and len(ranges) != pair.num_groups - 1:
        raise QuantizationError(
            f"Received {len(ranges)} ranges; expected one for each of {pair.num_groups - 1} boundaries."
        )
    if not {Mix.all_student(pair.num_groups), Mix.all_teacher(pair.num_groups)} <= set(mixes):
        raise QuantizationError(
            f"Received the mixes {', '.join(mixes)}; expected those of a path, from all-student to all-teacher."
        )
    folded = folded_models(pair)
    twins = {stem: build_twin(model) for stem, model in folded.items()}
    tree = runs(folded, mixes)
    with legacy_keras() as tf_keras:
        from tfpwl.quantize import eight_bit, rounded  # noqa: PLC0415 - import TensorFlow and tfmot

        tf_keras.utils.set_random_seed(seed)
        probes = {stem: _probe(tf_keras, twin) for stem, twin in twins.items()}
        seen = rounded.FloatRanges(probes, tree, pair.num_groups)
        for index in range(min(_CALIBRATION_BATCHES, len(batches))):
            seen.see(batches[index][0])  # type: ignore[index]
        grids = rounded.Grids(
            seen.boundaries() if ranges is None else ranges,
            [encoder is not None for encoder in pair.encoders],
            learn=ranges is None,
        )
        quantized = {stem: eight_bit.quantized_twin(twin, seen.layers(stem)) for stem, twin in twins.items()}
        net = rounded.RoundedMixes(quantized, tree, grids, rounded.Grid(seen.images), pair.num_groups)
        teacher = [twins[f"g{i}.teacher"] for i in range(pair.num_groups)]
        optimizers = _optimizers(tf_keras, net, grids.variables, config.learning_rate, len(batches) * config.epochs)
        models = [variable for model in quantized.values() for variable in model.variables]
        moments = [variable for optimizer, _ in optimizers for variable in optimizer.variables]
        course = _Course(_make_step(net, teacher, optimizers), [*models, *grids.variables, *moments], checkpoint)
        history = course.train(batches, config, on_progress)
        for stem, model in quantized.items():
            for name, weights in eight_bit.trained_weights(model).items():
                folded[stem].get_layer(name).set_weights(weights)
    return FineTuned(as_pair(folded), history, grids.ranges())


def _probe(tf_keras: Any, twin: Any) -> Any:
    """The twin with the output of every layer: a function to (outputs by layer name, the last output)."""
    model = tf_keras.Model(twin.inputs, {layer.name: layer.output for layer in twin.layers})

    def run(x: Any) -> tuple[Any, Any]:
        outputs = model(x, training=False)
        return outputs, outputs[twin.output_names[0]]

    return run


@dataclass(frozen=True)
class _Course:
    """A compiled step, everything that it changes, and where that is kept after every epoch."""

    step: _Step
    state: Sequence[Any]
    checkpoint: Path | None

    def train(self, batches: BatchSource, config: QatConfig, on_progress: OnProgress | None) -> History:
        log = [] if self.checkpoint is None else load_epoch(self.checkpoint, self.state)
        durations: list[float] = []
        for epoch in range(len(log), config.epochs):
            batches.set_epoch(epoch)
            log.append(self._epoch(epoch, batches, config, durations, on_progress))
            if self.checkpoint is not None:
                save_epoch(self.checkpoint, self.state, log)
        return History(tuple(log), batches.batch_size / float(np.median(durations)) if durations else None)

    def _epoch(
        self, epoch: int, batches: BatchSource, config: QatConfig, durations: list[float],
        on_progress: OnProgress | None,
    ) -> dict[str, float]:  # fmt: skip
        sums = np.zeros(2)
        metrics: dict[str, float] = {}
        for index in range(len(batches)):
            begin = time.perf_counter()
            x, y = batches[index]  # type: ignore[index]
            sums += [float(value) for value in self.step(x, y)]
            durations.append(time.perf_counter() - begin)
            metrics = {"loss": float(sums[0]) / (index + 1), "worst_accuracy": float(sums[1]) / (index + 1)}
            if not math.isfinite(metrics["loss"]):
                raise TrainingError(
                    f"The loss of quantization-aware training is {metrics['loss']} in epoch {epoch + 1}. Lower "
                    f"`qat: {{learning_rate: {config.learning_rate:g}}}`."
                )
            if on_progress is not None:
                on_progress(epoch * len(batches) + index + 1, len(batches) * config.epochs, metrics)
        return metrics


def _optimizers(
    tf_keras: Any, net: Any, range_variables: Sequence[Any], learning_rate: float, num_steps: int
) -> list[tuple[Any, Sequence[Any]]]:
    """Adam for each kind of variables.

    Apart: ranges have a rate of their own, and a converter aside of the path, whose distances can be large, must not
    use up the norm that all gradients together may have.
    """
    made = []
    for rate, variables, clip_norm in (
        (learning_rate, net.variables, _CLIP_NORM),
        (learning_rate, net.variables_aside, _CLIP_NORM),
        (_RANGE_LEARNING_RATE, range_variables, None),
    ):
        if variables:
            schedule = tf_keras.optimizers.schedules.CosineDecay(rate, max(1, num_steps))
            optimizer = tf_keras.optimizers.Adam(schedule, global_clipnorm=clip_norm)
            optimizer.build(variables)
            made.append((optimizer, variables))
    return made


def _make_step(net: Any, teacher: Sequence[Any], optimizers: Sequence[tuple[Any, Sequence[Any]]]) -> _Step:
    """One compiled step: images and classes to (loss, accuracy of the worst mix)."""
    import tensorflow as tf  # noqa: PLC0415

    def step(x: Any, y: Any) -> tuple[Any, Any]:
        target = x
        for group in teacher:
            target = group(target, training=False)
        with tf.GradientTape() as tape:
            logits, aside = net(x)
            loss = tf.add_n([_mix_loss(tf, y, target, z) for z in logits]) / len(logits)
            total = loss + sum(_distance(tf, answer, wanted) for answer, wanted in aside)
        gradients = tape.gradient(total, [variables for _, variables in optimizers])
        for (optimizer, variables), gradient in zip(optimizers, gradients, strict=True):
            optimizer.apply_gradients(zip(gradient, variables, strict=True))
        right = [tf.reduce_mean(tf.cast(tf.equal(tf.argmax(z, -1, y.dtype), y), tf.float32)) for z in logits]
        return loss, tf.reduce_min(right)

    compiled = tf.function(step)
    return lambda x, y: compiled(tf.constant(x, tf.float32), tf.constant(y, tf.int32))


def _mix_loss(tf: Any, y: Any, target: Any, logits: Any) -> Any:
    """``α · CE + (1 - α) · T² · KL``."""
    hard = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    log_t, log_z = tf.nn.log_softmax(target / _TEMPERATURE), tf.nn.log_softmax(logits / _TEMPERATURE)
    soft = _TEMPERATURE**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(log_t) * (log_t - log_z), axis=-1))
    return _ALPHA * hard + (1.0 - _ALPHA) * soft


def _distance(tf: Any, answer: Any, wanted: Any) -> Any:
    """Squared error as a share of the feature's own square."""
    return tf.reduce_mean(tf.square(answer - wanted)) / (tf.reduce_mean(tf.square(wanted)) + 1e-6)
