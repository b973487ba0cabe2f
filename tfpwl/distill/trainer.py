"""Train a pair: by Progressive Weight Loading, or the same student by plain distillation for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfpwl.config import DistillConfig
from tfpwl.distill.mixing import MixedBatches, MixSampler
from tfpwl.distill.swapnet import LossWeights, SwapNet
from tfpwl.fused import fold_batchnorm, fuse_batchnorm
from tfpwl.pairs import ModelPair, compose
from tfpwl.training import Batches, History, OnProgress, Seedable, cross_entropy, fit


def distill(
    pair: ModelPair,
    batches: Batches,
    config: DistillConfig,
    *,
    augment: keras.Model | None = None,
    seedables: Sequence[Seedable] = (),
    seed: int = 0,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> History:
    """Train the student and the converters of ``pair`` in place; the teacher is not changed.

    Args:
        pair: with a trained teacher.
        batches: training data.
        config: ``method: pwl`` (arXiv 2509.22319) or ``kd`` (keras.distillation; converters stay untrained).
        augment: applied to each batch, the same images for student and teacher.
        seedables: random sources of ``augment``.
        seed: of the mixes.
        checkpoint: folder for the state after every epoch; an interrupted run goes on from it.
        on_progress: called with steps done, steps in all, metrics.

    Raises:
        TrainingError: the loss is not finite.
    """
    fast = accelerate(pair)
    if config.method == "kd":
        history = fit(
            _plain_distiller(fast, config, augment), batches, config, loss=cross_entropy(config.label_smoothing),
            seedables=seedables, checkpoint=checkpoint, on_progress=on_progress,
        )  # fmt: skip
    else:
        weights = LossWeights(
            config.temperature, config.alpha, config.w_sync, config.w_recon, config.w_cross, config.label_smoothing
        )
        net = SwapNet(fast, weights=weights, cross=config.cross, augment=augment)
        sampler = MixSampler(
            pair.num_groups, single_switch=config.single_switch, path_share=config.path_share, seed=seed
        )
        use_plan = config.cross == "random" and pair.num_groups > 1
        history = fit(
            net, MixedBatches(batches, sampler) if use_plan else batches, config,
            slow=[variable for converter in net.converters for variable in converter.trainable_variables],
            slow_factor=config.converter_lr, seedables=seedables, checkpoint=checkpoint, on_progress=on_progress,
        )  # fmt: skip
    for group, trained in zip(pair.student, fast.student, strict=True):
        group.set_weights(trained.get_weights())
    return history


def accelerate(pair: ModelPair) -> ModelPair:
    """The pair that training runs on: student with fused operators, teacher frozen and folded, same converters."""
    return ModelPair(
        tuple(fuse_batchnorm(group) for group in pair.student),
        tuple(fold_batchnorm(group) for group in pair.teacher),
        pair.encoders,
        pair.decoders,
    )


def _plain_distiller(pair: ModelPair, config: DistillConfig, augment: keras.Model | None) -> keras.Model:
    return _AugmentingDistiller(
        augment,
        teacher=compose(pair.teacher, "teacher"),
        student=compose(pair.student, "student"),
        # The loss as an object: with its default, the name "kl_divergence", Keras 3.15 takes the divergence of the
        # bare logits (its test for KLDivergence does not match), which is negative and teaches nothing.
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=config.temperature, loss=keras.losses.KLDivergence()
        ),
        student_loss_weight=config.alpha,
    )


class _AugmentingDistiller(keras.distillation.Distiller):
    """A Keras distiller whose student and teacher see the same augmented batch.

    In training, ``call`` hands the augmented images on beside the logits, because ``compute_loss`` runs the
    teacher on the images it is given.
    """

    def __init__(self, augment: keras.Model | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.augment = augment
        self.built = True  # both networks are

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return super().call(inputs, training=False)
        x = self.augment(inputs, training=True) if self.augment is not None else inputs
        return super().call(x, training=True), x

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if isinstance(y_pred, tuple):
            y_pred, x = y_pred
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        logits = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        return super().compute_metrics(x, y, logits, sample_weight)
