"""A stretch of a flat model as a functional model of its own, with copies of layers and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.prune.calls import Call, FlatModel, Path, Value, flatten_model


def rebuild(
    flat: FlatModel, start: int, stop: int, name: str, settings: Mapping[Path, Mapping[str, Any]] | None = None
) -> keras.Model:
    """The calls ``start … stop - 1`` as a functional model from the one value they read to the one they leave.

    Args:
        flat: of :func:`tfpwl.prune.calls.flatten_model`, with one input and one output.
        start: first call.
        stop: the call after the last.
        name: of the new model.
        settings: config entries to change, by the path of a layer.

    Raises:
        ModelError: a layer cannot be built again from its config.
    """
    calls = flat.calls[start:stop]
    made = {value for call in calls for value in call.outputs if value not in call.inputs}
    (entry,) = {value for call in calls for value in call.inputs if value not in made}
    inputs = keras.Input(entry.shape[1:], dtype=entry.dtype, name=f"{name}_input")
    tensors: dict[Value, Any] = {entry: inputs}
    layers: dict[Path, Any] = {}
    names = _names(flat)
    for call in calls:
        if call.outputs == call.inputs:
            continue
        if call.path not in layers:
            layers[call.path] = _copy(call, names[call.path], (settings or {}).get(call.path, {}))
        outputs = _call(layers[call.path], call, tensors)
        tensors.update(zip(call.outputs, keras.tree.flatten(outputs), strict=True))
    model = keras.Model(inputs, tensors[calls[-1].outputs[0]], name=name)
    for call in calls:
        if call.path in layers and getattr(call.operation, "weights", None):
            layers[call.path].set_weights([np.asarray(weight.value) for weight in call.operation.weights])
    return model


def _names(flat: FlatModel) -> dict[Path, str]:
    """A layer's own name where no other layer has it, else the whole path."""
    paths = {call.path for call in flat.calls}
    count = Counter(path[-1] for path in paths)
    return {path: path[-1] if count[path[-1]] == 1 else "_".join(path) for path in paths}


def _copy(call: Call, name: str, settings: Mapping[str, Any]) -> Any:
    try:
        config = {**call.operation.get_config(), **settings, "name": name}
        return type(call.operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError) as exc:
        raise ModelError(f"Layer {call.name!r} cannot be built again from its config: {exc}") from exc


def _call(layer: Any, call: Call, tensors: Mapping[Value, Any]) -> Any:
    def tensor(argument: Any) -> Any:
        if isinstance(argument, Value):
            return tensors[argument]
        if isinstance(argument, (tuple, list)):
            return type(argument)(tensor(item) for item in argument)
        if isinstance(argument, dict):
            return {key: tensor(item) for key, item in argument.items()}
        return argument

    return layer(*tensor(call.args), **tensor(call.kwargs))


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
    return rebuild(flat, 0, len(flat.calls), model.name, linear), softmax


def _ends_in_softmax(call: Call) -> bool:
    operation, rank = call.operation, len(call.outputs[0].shape)
    if getattr(operation, "activation", None) is keras.activations.softmax:
        return True
    return type(operation).__name__ == "Softmax" and getattr(operation, "axis", -1) in (-1, rank - 1)


def _is_only_softmax(call: Call) -> bool:
    return type(call.operation).__name__ in ("Softmax", "Activation")
