"""Fitting a Keras model the way every training stage needs it: seeded, resumable, with progress.

Runs on any Keras backend. A run that was interrupted goes on after its last whole epoch and ends with the
same weights as one that was not: shuffling, augmentation and mixes are seeded by (seed, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from tfpwl.checkpoint import load_epoch, save_epoch
from tfpwl.config import TrainConfig
from tfpwl.errors import TrainingError

OnProgress = Callable[[int, int, Mapping[str, float]], None]


class Seedable(Protocol):
    """Whatever draws random numbers in a training step and must be the same on resume."""

    def set_epoch(self, epoch: int) -> None: ...


class BatchSource(Seedable, Protocol):
    """A Keras data set of equal batches, such as :class:`Batches`."""

    batch_size: int

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class History:
    """What a fit did: metrics per epoch, and the speed of the epochs that ran in this process."""

    epochs: tuple[Mapping[str, float], ...]
    images_per_second: float | None = field(default=None)


class Batches(keras.utils.PyDataset):
    """Whole batches of preprocessed images in an order drawn from (seed, epoch).

    A last, smaller batch is left out (other images in every epoch): it would make the backend compile every
    step a second time for its shape.

    Args:
        x: raw images, ``(n, height, width, channels)``; kept as they are until a batch is drawn.
        y: class indices, ``(n,)``.
        preprocess: raw images to the model's float32 input.
        batch_size: images per batch, lowered to ``n`` where the set is smaller.
        seed: of the order.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray], batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self._x, self._y, self._preprocess = x, y.astype("int32"), preprocess
        self.batch_size = min(batch_size, len(x))
        self._seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._x))

    def __len__(self) -> int:
        return len(self._x) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return self._preprocess(self._x[chosen]), self._y[chosen]


class _SlowVariables:
    """Part of an optimizer: some variables learn at a fraction of the rate."""

    def watch(self, slow: Collection[Any], factor: float) -> Any:
        """Learn ``slow`` at ``factor`` times the learning rate; returns the optimizer."""
        self._slow_ids = {id(variable) for variable in slow}
        self._slow_factor = factor
        return self

    def build(self, variables: Sequence[Any]) -> None:
        # By index: the TensorFlow backend hands update_step its own variables, not Keras'.
        self._slow = {index for index, variable in enumerate(variables) if id(variable) in self._slow_ids}
        super().build(variables)  # type: ignore[misc]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self._get_variable_index(variable) in self._slow:  # type: ignore[attr-defined]
            learning_rate = learning_rate * self._slow_factor
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class SlowAdamW(_SlowVariables, keras.optimizers.AdamW):
    """AdamW that can learn some variables at a lower rate."""


class SlowSGD(_SlowVariables, keras.optimizers.SGD):
    """SGD with L2 decay in the gradient, that can learn some variables at a lower rate.

    Keras' ``weight_decay`` shrinks weights apart from the momentum; the PWL authors' PyTorch optimizer adds
    the decay to the gradient, where momentum 0.9 makes it ten times as strong. This is the latter.

    Args:
        learning_rate: number or schedule.
        l2: decay added to the gradient, ``g + l2 * w``.
        **kwargs: as of SGD.
    """

    def __init__(self, learning_rate: Any, *, l2: float, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self._l2 = l2

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self._l2:
            gradient = gradient + keras.ops.cast(self._l2, gradient.dtype) * keras.ops.convert_to_tensor(variable)
        super().update_step(gradient, variable, learning_rate)


def cross_entropy(label_smoothing: float = 0.0) -> Callable[[Any, Any], Any]:
    """Cross-entropy of logits with class indices, as a Keras loss.

    Args:
        label_smoothing: share of the target spread evenly over all classes.
    """
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # it has no smoothing of its own

    def loss(y: Any, z: Any) -> Any:
        log_p = keras.ops.log_softmax(z, axis=-1)
        classes = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), z.shape[-1])
        target = (1.0 - label_smoothing) * classes + label_smoothing / z.shape[-1]
        return -keras.ops.sum(target * log_p, axis=-1)

    return loss


def make_optimizer(
    config: TrainConfig, num_steps: int, *, slow: Collection[Any] = (), slow_factor: float = 1.0
) -> keras.optimizers.Optimizer:
    """The optimizer of a fit: ``config.optimizer`` on a cosine from ``learning_rate`` to ``final_learning_rate``.

    Args:
        config: names the optimizer and its numbers.
        num_steps: steps of the whole fit.
        slow: variables whose learning rate is multiplied by ``slow_factor`` (encoders and decoders).
        slow_factor: see ``slow``.
    """
    warmup = round(config.warmup * num_steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=max(1, num_steps - warmup),
        alpha=min(1.0, config.final_learning_rate / config.learning_rate),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    clip, decay = config.clip_norm, config.weight_decay
    if config.optimizer == "adamw":
        optimizer = SlowAdamW(schedule, weight_decay=decay, global_clipnorm=clip)
    else:
        optimizer = SlowSGD(schedule, l2=decay, momentum=config.momentum, global_clipnorm=clip)
    return optimizer.watch(slow, slow_factor)


def fit(
    model: keras.Model,
    batches: BatchSource,
    config: TrainConfig,
    *,
    loss: Any = None,
    slow: Sequence[Any] = (),
    slow_factor: float = 1.0,
    seedables: Sequence[Seedable] = (),
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> History:
    """Fit ``model`` for ``config.epochs``, resuming from ``checkpoint`` where a run left one.

    Args:
        model: compiled here; must be built.
        batches: the training data.
        config: optimizer, schedule and length.
        loss: a Keras loss; None where the model computes its own.
        slow: see :func:`make_optimizer`.
        slow_factor: see :func:`make_optimizer`.
        seedables: what else draws random numbers, told of every epoch.
        checkpoint: folder for the state after every epoch; None keeps none.
        on_progress: called with steps done, steps in all and the metrics so far.

    Raises:
        TrainingError: the loss is not finite.
    """
    steps = len(batches)
    model.compile(
        optimizer=make_optimizer(config, steps * config.epochs, slow=slow, slow_factor=slow_factor),
        loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if loss is not None else None,
        # XLA compiles for 26 s and then runs slower than plain TensorFlow on a CPU.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    model.optimizer.build(model.trainable_variables)
    log = [] if checkpoint is None else load_epoch(checkpoint, _state(model))
    watcher = _Watcher((batches, *seedables), steps, config.epochs, on_progress, log)
    callbacks: list[keras.callbacks.Callback] = [watcher]
    if checkpoint is not None:
        callbacks.append(_Checkpoint(checkpoint, log))
    model.fit(batches, initial_epoch=len(log), epochs=config.epochs, verbose=0, shuffle=False, callbacks=callbacks)
    return History(tuple(log), watcher.images_per_second(batches.batch_size))


def _state(model: keras.Model) -> list[Any]:
    """Everything that a step changes: weights, statistics, states of random numbers, the optimizer's moments."""
    return [*model.variables, *model.optimizer.variables]


class _Checkpoint(keras.callbacks.Callback):
    """Keeps the state after every epoch.

    Args:
        folder: for the checkpoints; the last one is kept.
        log: metrics of the epochs so far; somebody else adds to it.
    """

    def __init__(self, folder: Path, log: list[dict[str, float]]) -> None:
        super().__init__()
        self._folder, self._log = folder, log

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        save_epoch(self._folder, _state(self.model), self._log)


class _Watcher(keras.callbacks.Callback):
    """Seeds every epoch, reports progress, stops at a loss that is not finite and measures speed."""

    def __init__(
        self,
        seedables: Sequence[Seedable],
        steps: int,
        epochs: int,
        on_progress: OnProgress | None,
        log: list[dict[str, float]],
    ) -> None:
        super().__init__()
        self._seedables, self._steps, self._epochs, self._on_progress = seedables, steps, epochs, on_progress
        self._log = log
        self._epoch = 0
        self._durations: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        for seedable in self._seedables:
            seedable.set_epoch(epoch)
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self._durations.append(now - self._last)
        self._last = now
        if self._on_progress is not None and (batch % 10 == 9 or batch == self._steps - 1):
            # Reading metrics waits for the device, so not at every step.
            self._on_progress(self._epoch * self._steps + batch + 1, self._epochs * self._steps, _floats(logs))
            self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        metrics = _floats(logs)
        if not math.isfinite(metrics["loss"]):
            raise TrainingError(
                f"The loss is {metrics['loss']} after epoch {epoch + 1}. Lower `learning_rate`, add `warmup: 0.1`, "
                "or look for extreme values in the data."
            )
        self._log.append(metrics)

    def images_per_second(self, batch_size: int) -> float | None:
        """Steady speed: the median step, which leaves out the steps that compile."""
        return batch_size / float(np.median(self._durations)) if self._durations else None


def _floats(logs: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (logs or {}).items()}
