"""Starting a model of any size from templates: train its scalers on a little data, then write ordinary weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from tfpwl.config import TrainConfig
from tfpwl.fused import fuse_batchnorm
from tfpwl.pairs import compose
from tfpwl.training import BatchSource, History, OnProgress, Seedable, cross_entropy, fit
from tfpwl.wave.auxiliary import Groups, kroneckerise, make_bank, materialise
from tfpwl.wave.channels import evenly
from tfpwl.wave.condense import set_scalers
from tfpwl.wave.kinds import find_kernels, kernel_name
from tfpwl.wave.kronecker import scaler_shape
from tfpwl.wave.matching import is_transformer, match_names
from tfpwl.wave.templates import TemplateSet

SCALER_FIT = TrainConfig(
    epochs=1, optimizer="adamw", learning_rate=0.01, weight_decay=0.0, warmup=0.1, final_learning_rate=1e-4,
    clip_norm=1.0,
)  # fmt: skip


def initialise(
    student: Groups,
    templates: TemplateSet,
    batches: BatchSource,
    *,
    steps: int = 150,
    config: TrainConfig = SCALER_FIT,
    loss: Callable[[Any, Any], Any] | None = None,
    augment: keras.Model | None = None,
    seedables: Sequence[Seedable] = (),
    scaler_start: Literal["auxiliary", "random"] = "auxiliary",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> History:
    """Write into ``student`` the weights that templates and newly trained scalers make.

    The templates are frozen; scalers, biases, gains and offsets of normalizations train for ``steps`` steps (batch
    normalizations collect their statistics meanwhile). What comes out is an ordinary model that trains as any other.

    Args:
        student: freshly built groups of the templates' family; their weights are replaced, their initial scale is used.
        templates: condensed from a teacher.
        batches: of the data that the student will train on.
        steps: of the scalers' fit.
        config: of the scalers' fit; ``epochs`` is not used.
        loss: of logits with class indices; cross-entropy by default.
        augment: applied to each batch.
        seedables: random sources of ``augment``.
        scaler_start: ``auxiliary`` takes the scalers of the auxiliary model, of the layer at the same share of the
            depth and of evenly spaced blocks; ``random`` draws them.
        seed: of random scalers.
        on_progress: called with steps done, steps in all, metrics.

    Returns:
        What the fit did.

    Raises:
        ModelError: the student's widths are not multiples of the templates'; the nearest that are, are named.
        TrainingError: the loss is not finite.
    """
    bank = make_bank(templates.templates, frozen=True)
    groups = kroneckerise([fuse_batchnorm(group) for group in student], bank, seed=seed)
    if scaler_start == "auxiliary":
        set_scalers(groups, resize_scalers(student, templates))
    model = compose([*([augment] if augment is not None else []), *groups], "scalers")
    history = fit(
        model, Steps(batches, steps), config.model_copy(update={"epochs": 1}), loss=loss or cross_entropy(),
        seedables=seedables, on_progress=on_progress,
    )  # fmt: skip
    for group, made in zip(student, materialise(groups), strict=True):
        group.set_weights(made.get_weights())
    return history


def resize_scalers(student: Groups, templates: TemplateSet) -> dict[str, np.ndarray]:
    """The auxiliary model's scalers for a model of another depth and width, by kernel name.

    A kernel of ``r x c`` blocks takes ``r`` evenly spaced rows and ``c`` evenly spaced columns of blocks, the same ones
    in every layer: so what one layer writes into a block of the residual stream, the next still reads from there.
    Kernels without a like in the auxiliary model are left out.
    """
    layers = {name.partition("/")[0]: None for name in templates.scalers}
    kernels = find_kernels(student)
    matched = match_names({kernel.layer: None for kernel in kernels}, layers, through=is_transformer(student))
    resized = {}
    for kernel in kernels:
        name = kernel_name(matched.get(kernel.layer, ""), kernel.role)
        if name not in templates.scalers:
            continue
        old = templates.scalers[name]
        r, c = scaler_shape(kernel.shape, templates.templates[kernel.kind].shape[1:], kernel.name)
        resized[kernel.name] = old[:, evenly(old.shape[1], r)][:, :, evenly(old.shape[2], c)]
    return resized


class Steps(keras.utils.PyDataset):
    """The first ``steps`` batches of a source as one epoch, running through its own epochs as often as need be."""

    def __init__(self, batches: Any, steps: int) -> None:
        super().__init__()
        self._batches, self._steps = batches, steps
        self.batch_size = batches.batch_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = 0
        self._batches.set_epoch(0)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Any:
        epoch, inside = divmod(index, len(self._batches))
        if epoch != self._epoch:
            self._epoch = epoch
            self._batches.set_epoch(epoch)
        return self._batches[inside]
