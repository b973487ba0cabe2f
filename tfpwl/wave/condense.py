"""Condensing: distil a teacher into an auxiliary model made of templates, and keep the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tfpwl.config import TrainConfig
from tfpwl.fused import fold_batchnorm, fuse_batchnorm
from tfpwl.pairs import compose
from tfpwl.training import BatchSource, History, OnProgress, Seedable, fit
from tfpwl.wave.auxiliary import Groups, kroneckerise, make_bank, num_blocks, template_shapes
from tfpwl.wave.kinds import find_kernels, kernel_name
from tfpwl.wave.kronecker import Shape
from tfpwl.wave.layers import KroneckerLayer
from tfpwl.wave.templates import TemplateSet

_BLOCKS_PER_TEMPLATE = 4  # the auxiliary model's kernels are so many times larger than the templates
_FEWEST = 8


def condense(
    teacher: Groups,
    auxiliary: Groups,
    batches: BatchSource,
    config: TrainConfig,
    *,
    family: str,
    wanted: Sequence[Groups] = (),
    shapes: Mapping[str, Shape] | None = None,
    num_templates: int | None = None,
    temperature: float = 2.0,
    alpha: float = 0.4,
    augment: keras.Model | None = None,
    seedables: Sequence[Seedable] = (),
    seed: int = 0,
    source: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[TemplateSet, History]:
    """Distil ``teacher`` into templates (WAVE, arXiv 2406.17503, section 3).

    An auxiliary model, whose kernels are ``W_l = Σ_k S_{l,k} ⊗ T_k``, learns from the teacher's logits and the labels;
    templates and scalers train, the teacher does not, and the templates are kept. Where the auxiliary model has the
    teacher's shape, it starts as near to the teacher as the rule allows: a singular value decomposition of the
    teacher's template-sized blocks gives the best K templates and their scalers. Otherwise it starts from noise.

    Args:
        teacher: trained groups; not changed.
        auxiliary: ordinary groups of the auxiliary model's size, not changed; may be the teacher.
        batches: training data.
        config: the fit.
        family: noted in the templates.
        wanted: groups of every size that is to start from the templates; they decide the templates' shapes.
        shapes: ``(p, q)`` by kind, instead of the largest that divide all of ``wanted``.
        num_templates: per kind; by default a quarter of the auxiliary model's blocks of the kind, at least 8 and at
            most half as many as a block has numbers.
        temperature: of the soft loss.
        alpha: weight of the hard loss; ``1 - alpha`` is that of the soft loss.
        augment: applied to each batch.
        seedables: random sources of ``augment``.
        seed: of templates and scalers.
        source: noted in the templates.
        checkpoint: folder for the state after every epoch; an interrupted run goes on from it.
        on_progress: called with steps done, steps in all, metrics.

    Returns:
        The templates, and what the fit did.

    Raises:
        ModelError: a model has layers that no rule covers, or given shapes do not divide.
        TrainingError: the loss is not finite, or the checkpoint cannot be read.
    """
    sizes = template_shapes([auxiliary, *wanted], shapes)
    counts = {
        kind: _auto_count(sizes[kind], blocks, num_templates) for kind, blocks in num_blocks(auxiliary, sizes).items()
    }
    net_groups = _start(teacher, auxiliary, sizes, counts, seed)
    net = Condenser(
        compose(net_groups, "auxiliary"), compose([fold_batchnorm(group) for group in teacher], "teacher"),
        temperature=temperature, alpha=alpha, augment=augment,
    )  # fmt: skip
    history = fit(net, batches, config, seedables=seedables, checkpoint=checkpoint, on_progress=on_progress)
    learnt, scalers = read_factors(net_groups)
    return TemplateSet(family, learnt, scalers, dict(source or {})), history


def read_factors(groups: Groups) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Templates by kind and scalers by kernel name of a model of Kronecker layers."""
    templates, scalers = {}, {}
    for layer in (layer for group in groups for layer in group.layers if isinstance(layer, KroneckerLayer)):
        for role, (variable, shared) in layer.pairs().items():
            templates[shared.kind] = ops.convert_to_numpy(shared.templates)
            scalers[kernel_name(layer.name, role)] = ops.convert_to_numpy(variable)
    return templates, scalers


def _auto_count(shape: Shape, blocks: int, given: int | None) -> int:
    wanted = max(blocks // _BLOCKS_PER_TEMPLATE, _FEWEST) if given is None else given
    # More templates than numbers in a block would be a basis of everything, and more than blocks never all used.
    return max(1, min(wanted, blocks, int(np.prod(shape)) // 2))


def _start(
    teacher: Groups, auxiliary: Groups, shapes: Mapping[str, Shape], counts: Mapping[str, int], seed: int
) -> tuple[keras.Model, ...]:
    """The auxiliary model before it is trained."""
    same = [k.shape for k in find_kernels(teacher)] == [k.shape for k in find_kernels(auxiliary)]
    fused = [fuse_batchnorm(group) for group in (teacher if same else auxiliary)]
    if not same:
        rng = np.random.default_rng(seed)
        noise = {kind: rng.normal(0, counts[kind] ** -0.5, (counts[kind], *shape)) for kind, shape in shapes.items()}
        return kroneckerise(
            fused, make_bank({kind: value.astype("float32") for kind, value in noise.items()}), seed=seed
        )
    templates, scalers = decompose(teacher, shapes, counts)
    groups = kroneckerise(fused, make_bank(templates), seed=seed)
    set_scalers(groups, scalers)
    return groups


def decompose(
    groups: Groups, shapes: Mapping[str, Shape], counts: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The best ``counts[kind]`` templates for the kernels of a model, and the scalers (Van Loan & Pitsianis, 1993).

    A sum of Kronecker products is a low-rank matrix once every block is written as a row; so the truncated singular
    value decomposition of all blocks of one kind gives the templates with the smallest squared error.

    Returns:
        Templates ``(K, …)`` by kind, scalers ``(K, r, c)`` by kernel name; K is lower where the blocks have less rank.
    """
    values = {layer.name: layer.get_weights() for group in groups for layer in group.layers}
    kernels = find_kernels(groups)
    templates, scalers = {}, {}
    for kind, shape in shapes.items():
        members = [kernel for kernel in kernels if kernel.kind == kind]
        rows = [to_blocks(kernel.view(values[kernel.layer][kernel.index]), shape) for kernel in members]
        left, singular, right = np.linalg.svd(np.concatenate(rows), full_matrices=False)
        k = min(counts[kind], len(singular))  # more would be zero
        root = np.sqrt(singular[:k])
        templates[kind] = (root[:, None] * right[:k]).reshape(k, *shape)
        weights = (left[:, :k] * root).T
        start = 0
        for kernel, row in zip(members, rows, strict=True):
            r, c = kernel.shape[-2] // shape[-2], kernel.shape[-1] // shape[-1]
            scalers[kernel.name] = weights[:, start : start + len(row)].reshape(k, r, c)
            start += len(row)
    return templates, scalers


def to_blocks(weight: np.ndarray, shape: Shape) -> np.ndarray:
    """Every template-sized block of ``weight`` as a row, ``(r * c, numbers of a template)``."""
    *spatial, rows, columns = weight.shape
    p, q = shape[-2:]
    n = len(spatial)
    split = weight.reshape(*spatial, rows // p, p, columns // q, q)
    order = (n, n + 2, *range(n), n + 1, n + 3)
    return split.transpose(order).reshape((rows // p) * (columns // q), -1)


def set_scalers(groups: Groups, scalers: Mapping[str, np.ndarray]) -> None:
    """Set scalers by kernel name; those that are not named stay."""
    for layer in (layer for group in groups for layer in group.layers if isinstance(layer, KroneckerLayer)):
        for role, (variable, _) in layer.pairs().items():
            if (name := kernel_name(layer.name, role)) in scalers:
                variable.assign(scalers[name])


class Condenser(keras.Model):
    """``alpha · CE(z, y) + (1 - alpha) · T² · KL(softmax(z_t / T) ‖ softmax(z / T))`` on the same augmented batch."""

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        temperature: float,
        alpha: float,
        augment: keras.Model | None,
    ) -> None:
        super().__init__(name="condenser")
        self.student, self.teacher, self.augment = student, teacher, augment
        self.temperature, self.alpha = temperature, alpha
        for variable in teacher.variables:  # one by one: an attention layer made frozen hides its own from the setter
            variable.trainable = False
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.built = True  # both networks are

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return self.student(inputs, training=False)
        x = self.augment(inputs, training=True) if self.augment is not None else inputs
        return {
            "student": self.student(x, training=True),
            "teacher": ops.stop_gradient(self.teacher(x, training=False)),
        }

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        z, z_t = y_pred["student"], y_pred["teacher"]
        hard = ops.mean(ops.sparse_categorical_crossentropy(y, z, from_logits=True))
        log_t, log_z = (ops.log_softmax(logits / self.temperature, axis=-1) for logits in (z_t, z))
        soft = self.temperature**2 * ops.mean(ops.sum(ops.exp(log_t) * (log_t - log_z), axis=-1))
        return self.alpha * hard + (1.0 - self.alpha) * soft

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        self.accuracy.update_state(y, y_pred["student"])
        return self.get_metrics_result()
