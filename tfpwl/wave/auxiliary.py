"""From ordinary models to models of Kronecker layers, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfpwl.errors import ModelError
from tfpwl.fused import FusedBatchNormalization
from tfpwl.wave.kinds import Kernel, find_kernels
from tfpwl.wave.kronecker import Shape, common_shape, kronecker_sum, scaler_shape
from tfpwl.wave.layers import KroneckerAttention, KroneckerConv2D, KroneckerDense, KroneckerEmbedding, KroneckerLayer
from tfpwl.wave.layers import Templates as TemplatesLayer

Groups = Sequence[keras.Model]
_SMALLEST = 1e-12


def template_shapes(models: Sequence[Groups], given: Mapping[str, Shape] | None = None) -> dict[str, Shape]:
    """The largest templates that divide every kernel of all ``models``, by kind.

    Args:
        models: the groups of every size that is wanted, the auxiliary one among them.
        given: shapes ``(p, q)`` by kind that are taken instead (convolutions keep their sides).

    Raises:
        ModelError: a given kind is in none of the models, or does not divide them.
    """
    kernels = [kernel for groups in models for kernel in find_kernels(groups)]
    kinds = list(dict.fromkeys(kernel.kind for kernel in kernels))
    if unknown := set(given or {}) - set(kinds):
        raise ModelError(f"Received template shapes for {sorted(unknown)}; the kinds of this family: {kinds}.")
    shapes = {}
    for kind in kinds:
        weights = [kernel.shape for kernel in kernels if kernel.kind == kind]
        shape = common_shape(weights)
        if given and kind in given:
            shape = (*shape[:-2], *given[kind])
            for kernel in (kernel for kernel in kernels if kernel.kind == kind):
                scaler_shape(kernel.shape, shape, kernel.name)
        shapes[kind] = shape
    return shapes


def num_blocks(groups: Groups, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """``Σ_l r_l c_l`` by kind: how many template-sized blocks a model's kernels have.

    Raises:
        ModelError: a kernel has no templates of its kind, or they do not divide it.
    """
    blocks = dict.fromkeys(shapes, 0)
    for kernel in find_kernels(groups):
        r, c = scaler_shape(kernel.shape, _shape_of(kernel, shapes), kernel.name)
        blocks[kernel.kind] += r * c
    return blocks


def count_scalers(groups: Groups, templates: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Scalers that a model of this size has, by kind: ``K · Σ_l r_l c_l`` with K templates of the kind.

    Args:
        groups: of the model.
        templates: ``(K, p, q)`` or ``(K, height, width, p, q)`` by kind.

    Raises:
        ModelError: as :func:`num_blocks`.
    """
    blocks = num_blocks(groups, {kind: value.shape[1:] for kind, value in templates.items()})
    return {kind: len(templates[kind]) * blocks[kind] for kind in blocks}


def make_bank(templates: Mapping[str, np.ndarray], *, frozen: bool = False) -> dict[str, TemplatesLayer]:
    """Templates as Keras layers that Kronecker layers share; ``frozen`` ones take no gradient."""
    bank = {kind: TemplatesLayer(value, kind) for kind, value in templates.items()}
    for layer in bank.values():
        layer.trainable = not frozen
    return bank


def kroneckerise(groups: Groups, bank: Mapping[str, TemplatesLayer], *, seed: int = 0) -> tuple[keras.Model, ...]:
    """The same model with kernels built from templates; what is no kernel is copied.

    Scalers are normal, of the deviation that gives each kernel the deviation it has in ``groups``: made from a fresh
    model, the result has the initial scale that the family wants.

    Args:
        groups: ordinary groups of a family.
        bank: templates by kind.
        seed: of the scalers.

    Raises:
        ModelError: a layer is not known, or templates of a kind are missing or do not divide a kernel.
    """
    kernels: dict[str, list[Kernel]] = {}
    for kernel in find_kernels(groups):
        _shape_of(kernel, bank)
        kernels.setdefault(kernel.layer, []).append(kernel)
    rng = np.random.default_rng(seed)
    return tuple(_convert(group, kernels, bank, rng) for group in groups)


def _convert(
    group: keras.Model,
    kernels: Mapping[str, list[Kernel]],
    bank: Mapping[str, TemplatesLayer],
    rng: np.random.Generator,
) -> keras.Model:
    def clone(layer: Any) -> keras.layers.Layer:
        if layer.name in kernels:
            return _kronecker_layer(layer, {kernel.role: bank[kernel.kind] for kernel in kernels[layer.name]})
        return type(layer).from_config({**layer.get_config(), "trainable": True})  # of a frozen teacher as well

    copy = keras.models.clone_model(group, clone_function=clone)
    for layer in group.layers:
        twin = copy.get_layer(layer.name)
        if layer.name not in kernels:
            twin.set_weights(layer.get_weights())
            continue
        _copy_biases(layer, twin)
        values = layer.get_weights()
        for kernel in kernels[layer.name]:
            scalers, templates = twin.pairs()[kernel.role]
            draw = rng.normal(size=scalers.shape).astype("float32")
            made = ops.convert_to_numpy(kronecker_sum(draw, ops.convert_to_numpy(templates.templates)))
            # To the deviation itself, not its expectation: a few scalers make a kernel, and chance would set its scale.
            scalers.assign(draw * (values[kernel.index].std() / max(float(made.std()), _SMALLEST)))
    return copy


def _kronecker_layer(layer: Any, templates: Mapping[str, TemplatesLayer]) -> KroneckerLayer:
    """The Kronecker layer that computes what ``layer`` does.

    Raises:
        ModelError: ``layer`` uses an option that its Kronecker layer has not.
    """
    if isinstance(layer, keras.layers.Conv2D):
        if tuple(layer.dilation_rate) != (1, 1) or layer.groups != 1 or layer.data_format != "channels_last":
            raise ModelError(
                f"Received convolution {layer.name!r} with dilation, groups or channels_first; expected none."
            )
        return KroneckerConv2D(
            layer.filters, templates["kernel"], strides=layer.strides, padding=layer.padding,
            activation=layer.activation, use_bias=layer.use_bias, name=layer.name,
        )  # fmt: skip
    if isinstance(layer, keras.layers.Dense):
        return KroneckerDense(
            layer.units, templates["kernel"], activation=layer.activation, use_bias=layer.use_bias, name=layer.name
        )
    if isinstance(layer, keras.layers.EinsumDense):
        return KroneckerEmbedding(layer.kernel.shape[-1], templates["kernel"], templates["position"], name=layer.name)
    if (
        layer.dropout
        or not layer.use_bias
        or layer.value_dim != layer.key_dim
        or layer.attention_axes not in (None, (1,))
    ):
        raise ModelError(f"Received attention {layer.name!r} with dropout, without biases or over other axes than one.")
    return KroneckerAttention(layer.num_heads, layer.key_dim, templates["query"], templates["output"], name=layer.name)


def _copy_biases(layer: Any, twin: Any) -> None:
    if isinstance(twin, KroneckerAttention):
        for role, bias in twin.biases.items():
            bias.assign(ops.convert_to_numpy(getattr(layer, f"{role}_dense").bias).reshape(bias.shape))
    elif twin.bias is not None:
        twin.bias.assign(layer.bias)


def materialise(groups: Groups) -> tuple[keras.Model, ...]:
    """New groups of ordinary layers with the same names and outputs (to rounding): nothing downstream knows WAVE."""
    return tuple(_ordinary(group) for group in groups)


def _ordinary(group: keras.Model) -> keras.Model:
    def clone(layer: Any) -> keras.layers.Layer:
        if isinstance(layer, KroneckerLayer):
            return layer.ordinary()
        kind = keras.layers.BatchNormalization if isinstance(layer, FusedBatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(group, clone_function=clone)
    for layer in group.layers:
        twin = copy.get_layer(layer.name)
        if isinstance(layer, KroneckerLayer):
            layer.write(twin)
        else:
            twin.set_weights(layer.get_weights())
    return copy


def _shape_of(kernel: Kernel, shapes: Mapping[str, Any]) -> Any:
    if kernel.kind not in shapes:
        raise ModelError(
            f"{kernel.name} is of kind {kernel.kind!r}, and there are templates for {', '.join(shapes)} only. "
            "Condense them from a teacher of the same family."
        )
    return shapes[kernel.kind]
