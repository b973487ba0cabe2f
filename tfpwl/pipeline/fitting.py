"""What the stages that train share: batches, augmentation, accuracy in Keras, and the metrics that they leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfpwl.augment import AugmentationSeeds, make_augmentation
from tfpwl.config import PipelineConfig, TrainConfig
from tfpwl.data import Dataset, Split
from tfpwl.fused import fuse_batchnorm
from tfpwl.pairs import compose
from tfpwl.pipeline.store import CHECKPOINT
from tfpwl.training import Batches, History, Seedable, cross_entropy, fit

OnProgress = Callable[[int, int, Mapping[str, float]], None]
# Seeds of parts that must not draw the same numbers, as offsets to the pipeline's seed.
STUDENT_SEED, CONVERTER_SEED, AUGMENT_SEED, QAT_SEED, DERIVE_SEED, FINETUNE_SEED = 1, 2, 3, 4, 5, 6
PRUNE_SEED = 1000
_PREDICT_BATCH = 256


def fit_groups(
    groups: Sequence[keras.Model],
    fitting: TrainConfig,
    config: PipelineConfig,
    data: Dataset,
    *,
    work: Path,
    on_progress: OnProgress,
) -> History:
    """Train one side by cross-entropy with the labels, in place; ``work`` keeps the checkpoint."""
    fast = [fuse_batchnorm(group) for group in groups]
    augment, seedables = augmentation(config, data)
    history = fit(
        compose([*([augment] if augment is not None else []), *fast], "teacher"),
        batches(data, fitting.batch_size, config.seed),
        fitting,
        loss=cross_entropy(fitting.label_smoothing),
        seedables=seedables,
        checkpoint=work / CHECKPOINT,
        on_progress=on_progress,
    )
    for group, trained in zip(groups, fast, strict=True):
        group.set_weights(trained.get_weights())
    return history


def augmentation(config: PipelineConfig, data: Dataset) -> tuple[keras.Model | None, list[Seedable]]:
    """The augmentation that the pipeline asks for, and its random sources."""
    chosen = config.data.augment
    if chosen is None:
        return None, []
    augment = make_augmentation(
        data.input_shape, rotation=chosen.rotation, flip=chosen.flip, crop=chosen.crop,
        seed=config.seed + AUGMENT_SEED,
    )  # fmt: skip
    return augment, [] if augment is None else [AugmentationSeeds(augment)]


def batches(data: Dataset, batch_size: int, seed: int) -> Batches:
    """The training images in batches."""
    return Batches(data.train.x, data.train.y, data.preprocess, batch_size, seed)


def finish(work: Path, history: History, model: keras.Model, data: Dataset) -> dict[str, Any]:
    """Write ``metrics.json`` of a fitted model, and return the metrics."""
    metrics = {
        "parameters": model.count_params(),
        "val_accuracy": accuracy(model, data.val, data),
        "test_accuracy": accuracy(model, data.test, data),
        "images_per_second": history.images_per_second,
        "epochs": list(history.epochs),
    }
    (work / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return metrics


def accuracy(model: keras.Model, split: Split, data: Dataset) -> float:
    """Share of the images of ``split`` for which the largest answer of ``model`` is the label's."""
    right = 0
    for start in range(0, len(split), _PREDICT_BATCH):
        chosen = slice(start, start + _PREDICT_BATCH)
        # Called, not predicted: predicting traces a function for each of a build's models, to use it once.
        answers = keras.ops.convert_to_numpy(model(data.preprocess(split.x[chosen]), training=False))
        right += int((answers.argmax(-1) == split.y[chosen]).sum())
    return right / len(split)
