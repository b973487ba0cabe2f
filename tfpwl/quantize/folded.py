"""A pair as the quantizing stages work on it: float models by stem, batch normalizations folded."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from tfpwl.fused import fold_batchnorm
from tfpwl.pairs import ModelPair, named_models


def folded_models(pair: ModelPair) -> dict[str, keras.Model]:
    """Copies of all models by stem (``g0.student``, ``b0.encoder``, …), as one convolution where there was one with
    batch normalization. That is what the .tflite files hold."""
    models = {stem: fold_batchnorm(model) for stem, model in named_models(pair).items()}
    for model in models.values():
        model.trainable = True
    return models


def as_pair(models: Mapping[str, keras.Model]) -> ModelPair:
    """The pair of such models."""
    num_groups = sum(stem.endswith(".student") for stem in models)
    return ModelPair(
        tuple(models[f"g{i}.student"] for i in range(num_groups)),
        tuple(models[f"g{i}.teacher"] for i in range(num_groups)),
        tuple(models.get(f"b{i}.encoder") for i in range(num_groups - 1)),
        tuple(models.get(f"b{i}.decoder") for i in range(num_groups - 1)),
    )
