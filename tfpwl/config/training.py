"""How a network is fitted, and how a pair is distilled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfpwl.config.section import Factor, Fraction, Positive, Section


class TrainConfig(Section):
    """How a network is fitted. Defaults are the PWL authors' (arXiv 2509.22319)."""

    epochs: Positive = 160
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.05
    final_learning_rate: Factor = 1e-5  # where the cosine ends
    warmup: Fraction = 0.0  # share of all steps in which the learning rate rises from 0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: Factor = 5e-4
    clip_norm: Annotated[float, Field(gt=0.0)] | None = None  # largest norm of all gradients together
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class DistillConfig(TrainConfig):
    """The PWL losses, their weights and the fit; ``method: kd`` is plain distillation with the same fit."""

    method: Literal["pwl", "kd"] = "pwl"
    temperature: Annotated[float, Field(gt=0.0)] = 2.0
    alpha: Fraction = 0.4  # weight of the hard loss; 1 - alpha is that of the soft loss
    w_sync: Factor = 1.0
    w_recon: Factor = 1.0
    w_cross: Factor = 2.0
    cross: Literal["random", "all"] = "random"
    single_switch: Fraction = 0.5  # share of random mixes with exactly one switch
    path_share: Fraction = 0.0  # share of mixes taken from the prefix path instead (0 in the paper)
    converter_lr: Factor = 0.2  # learning rate of encoders and decoders, times this
    baseline: bool = False  # also train the same student by plain distillation, to compare
