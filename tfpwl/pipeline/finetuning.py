"""The stage ``finetune``: a finished pair learns from data that were collected from devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from tfpwl.config import FinetuneConfig, PipelineConfig
from tfpwl.data import Dataset
from tfpwl.distill import adapt
from tfpwl.mix import path, prefix_order
from tfpwl.pairs import ModelPair, compose, load_pair, save_pair
from tfpwl.pipeline.device_data import together
from tfpwl.pipeline.fitting import FINETUNE_SEED, OnProgress, accuracy, augmentation, batches, finish
from tfpwl.pipeline.store import CHECKPOINT


def finetune(
    config: PipelineConfig,
    section: FinetuneConfig,
    data: Dataset,
    collected: Dataset,
    pair: Path,
    *,
    work: Path,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Adapt the pair by ``finetune:``; leaves it and ``metrics.json``.

    It learns from the collected images and, lest it forgets, from as many of the pipeline's own.

    Args:
        config: the pipeline.
        section: its ``finetune:``.
        data: its data set.
        collected: the device data, from :func:`tfpwl.pipeline.device_data.as_device_data`.
        pair: artifact of the stage ``distill`` or ``prune``.
        work: folder to write into.
        on_progress: called with steps of training done, in all, metrics.

    Returns:
        The student's metrics, ``teacher`` with the teacher's, and ``mixes``: accuracy of each mix of the path before
        and after, on the test images of both sets.

    Raises:
        TrainingError: the loss is not finite.
    """
    seed = config.seed + FINETUNE_SEED
    keras.utils.set_random_seed(seed)
    finished = load_pair(pair)
    before = _measure(finished, data, collected)
    augment, seedables = augmentation(config, data)
    fitting = config.distill.model_copy(
        update={
            "epochs": section.epochs,
            "learning_rate": section.learning_rate,
            "final_learning_rate": min(config.distill.final_learning_rate, section.learning_rate),
        }
    )
    history = adapt(
        finished, batches(together(data, collected, seed), fitting.batch_size, seed), fitting, section.sides,
        augment=augment, seedables=seedables, checkpoint=work / CHECKPOINT, on_progress=on_progress,
    )  # fmt: skip
    save_pair(finished, work)
    after = _measure(finished, data, collected)
    teacher = compose(finished.teacher, "teacher")
    return {
        **finish(work, history, compose(finished.student, "student"), data),
        "teacher": {"parameters": teacher.count_params(), "test_accuracy": accuracy(teacher, data.test, data)},
        "mixes": [
            {"mix": mix, "old_before": before[mix][0], "old_after": after[mix][0], "new_before": before[mix][1],
             "new_after": after[mix][1]}
            for mix in before
        ],
    }  # fmt: skip


def _measure(pair: ModelPair, data: Dataset, collected: Dataset) -> dict[str, tuple[float, float]]:
    found = {}
    for mix in path(prefix_order(pair.num_groups)):
        model = compose(pair.chain(mix), f"mix_{mix}")
        found[str(mix)] = (accuracy(model, data.test, data), accuracy(model, collected.test, collected))
    return found
