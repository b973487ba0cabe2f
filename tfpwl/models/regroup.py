"""A stretch of a flat model as a functional model of its own, with copies of layers and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.models.calls import Call, FlatModel, Path, flatten_model
from tfpwl.models.running import Bypass, Find, call_with, run_calls


def rebuild(
    flat: FlatModel,
    start: int,
    stop: int,
    name: str,
    *,
    settings: Mapping[Path, Mapping[str, Any]] | None = None,
    bypass: Bypass | None = None,
) -> keras.Model:
    """The calls ``start … stop - 1`` as a functional model from the one value they read to the one they leave.

    Args:
        flat: of :func:`tfpwl.models.calls.flatten_model`, with one input and one output.
        start: first call.
        stop: the call after the last.
        name: of the new model.
        settings: config entries to change, by the path of a layer.
        bypass: values that are replaced by an earlier one of the same shape; calls that nobody needs then are left out.

    Raises:
        ModelError: a layer cannot be built again from its config.
    """
    calls, output = flat.calls[start:stop], flat.calls[stop - 1].outputs[0]
    made = {value for call in calls for value in call.outputs if value not in call.inputs}
    (entry,) = {value for call in calls for value in call.inputs if value not in made}
    inputs = keras.Input(entry.shape[1:], dtype=entry.dtype, name=f"{name}_input")
    copies: dict[Path, tuple[Any, Any]] = {}
    names = copied_names(flat)

    def call_copy(call: Call, find: Find) -> Any:
        if call.path not in copies:
            copies[call.path] = call.operation, _copy(call, names[call.path], (settings or {}).get(call.path, {}))
        return call_with(copies[call.path][1], call, find)

    model = keras.Model(inputs, run_calls(calls, entry, inputs, output, apply=call_copy, bypass=bypass), name=name)
    for original, copy in copies.values():
        if getattr(original, "weights", None):
            copy.set_weights([np.asarray(weight.value) for weight in original.weights])
    return model


def copied_names(flat: FlatModel) -> dict[Path, str]:
    """What :func:`rebuild` calls each layer: its own name where no other layer has it, else the whole path."""
    paths = {call.path for call in flat.calls}
    count = Counter(path[-1] for path in paths)
    return {path: path[-1] if count[path[-1]] == 1 else "_".join(path) for path in paths}


def _copy(call: Call, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        config = {**call.operation.get_config(), **settings, "name": name}
        return type(call.operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError) as exc:
        raise ModelError(f"Layer {call.name!r} cannot be built again from its config: {exc}") from exc


def split_softmax(model: keras.Model) -> tuple[keras.Model, keras.Model | None]:
    """Take a final softmax apart: ``(model that ends in logits, the softmax as a model of its own)``.

    Training wants logits; whoever uses the model wants probabilities. The softmax may be a layer or operation of its
    own or the activation of the last layer. A model without one comes back as it is, with ``None``.

    Raises:
        ModelError: the model cannot be read.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs), name="m")
        >>> logits, softmax = split_softmax(model)
        >>> logits.layers[-1].activation.__name__, softmax.name
        ('linear', 'm_softmax')
    """
    flat = flatten_model(model)
    last = flat.calls[-1] if flat.calls else None
    if last is None or len(flat.inputs) != 1 or flat.outputs != last.outputs or not _ends_in_softmax(last):
        return model, None
    softmax_in = keras.Input(last.outputs[0].shape[1:], name=f"{model.name}_logits")
    softmax = keras.Model(softmax_in, keras.layers.Softmax(name="softmax")(softmax_in), name=f"{model.name}_softmax")
    if _is_only_softmax(last):
        return rebuild(flat, 0, len(flat.calls) - 1, model.name), softmax
    linear = {last.path: {"activation": "linear"}}
    return rebuild(flat, 0, len(flat.calls), model.name, settings=linear), softmax


def _ends_in_softmax(call: Call) -> bool:
    operation, rank = call.operation, len(call.outputs[0].shape)
    if getattr(operation, "activation", None) is keras.activations.softmax:
        return True
    return type(operation).__name__ == "Softmax" and getattr(operation, "axis", -1) in (-1, rank - 1)


def _is_only_softmax(call: Call) -> bool:
    return type(call.operation).__name__ in ("Softmax", "Activation")
