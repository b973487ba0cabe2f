"""Building the smaller model: the same config with smaller numbers, and the kept slices of every weight.

The model's own serialized form is edited (``filters``, ``units``, ``num_heads``, a slice's ends, …) and built anew. So
names, nesting and operations of ``keras.ops`` stay as they are, the given model is not touched, and what comes out is
what plain Keras loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfpwl.errors import ModelError
from tfpwl.models.calls import Path, check_functional, graph_of, is_graph
from tfpwl.prune.report import PrunePlan
from tfpwl.prune.trace import Kept, Record
from tfpwl.prune.units import Map


def carve(model: keras.Model, plan: PrunePlan) -> keras.Model:
    """A new model with only the channels that ``plan`` keeps.

    Args:
        model: the model that the plan was made for; it is not changed.
        plan: of :func:`tfpwl.prune.plan_pruning`.

    Returns:
        An uncompiled model with the same names, its weights copied from ``model``.

    Raises:
        ModelError: Keras cannot build the smaller model; the message has Keras' own words.
    """
    check_functional(model)
    records = {record.path: record for record in plan.graph.records}

    def kept(units: Map) -> np.ndarray[Any, Any]:
        return np.flatnonzero(plan.keep[units])

    config = model.get_config()
    _edit_layers(config, (), records, kept)
    try:
        smaller = type(model).from_config(config, custom_objects=custom_classes(model))
    except (ValueError, TypeError, KeyError) as exc:
        cause = str(exc).strip().splitlines()[-1]  # Keras puts it last, after the whole config
        raise ModelError(f"Keras cannot build the smaller {model.name!r}: {cause}") from exc
    copy_weights(model, smaller, records, kept)
    return smaller


def custom_classes(model: Any) -> dict[str, type]:
    """The classes of the model's layers that are not Keras' own, by name, so that a config finds them."""
    return {
        type(operation).__name__: type(operation)
        for _, operation in named_operations(model)
        if not type(operation).__module__.startswith(("keras.", "tf_keras."))
    }


def _edit_layers(config: dict[str, Any], prefix: Path, records: dict[Path, Record], kept: Kept) -> None:
    for data in config["layers"]:
        inner = data["config"]
        path = (*prefix, data.get("name") or inner["name"])
        if data["class_name"] in ("Functional", "Sequential"):
            data.pop("build_config", None)
            _edit_layers(inner, path, records, kept)
            if "build_input_shape" in inner:
                inner["build_input_shape"] = inner["layers"][0]["config"].get("batch_shape", inner["build_input_shape"])
            continue
        record = records.get(path)
        if record is None or not (record.sizes or record.edits or record.slots):
            continue
        data.pop("build_config", None)  # the old input's shape; the call builds the layer with the new one
        for place, units in record.sizes.items():
            _set(inner, place, len(kept(units)))
        for edit in record.edits:
            edit(data, kept)


def _set(config: Any, place: tuple[str | int, ...], size: int) -> None:
    for key in place[:-1]:
        if isinstance(config[key], tuple):
            config[key] = list(config[key])
        config = config[key]
    config[place[-1]] = size


def copy_weights(old: keras.Model, new: keras.Model, records: dict[Path, Record], kept: Kept) -> None:
    """Give every layer of ``new`` the weights of the layer of ``old`` at the same path, cut to what is kept.

    Raises:
        ModelError: a layer has other weights than its namesake.
    """
    old_layers = dict(named_operations(old))
    for path, layer in named_operations(new):
        weights = getattr(layer, "weights", None)
        if not weights:
            continue
        slots = records[path].slots if path in records else {}
        values = []
        for index, weight in enumerate(old_layers[path].weights):
            value = np.asarray(weight.value)
            for axis, units in slots[index].axes.items() if index in slots else ():
                value = np.take(value, kept(units), axis=axis)
            values.append(value)
        if [tuple(w.shape) for w in weights] != [value.shape for value in values]:
            raise ModelError(
                f"Layer {'/'.join(path)!r} came out with weights {[tuple(w.shape) for w in weights]}; expected "
                f"{[value.shape for value in values]}. Its config does not describe it (a fixed shape?)."
            )
        layer.set_weights(values)


def named_operations(model: Any, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every layer and operation with its path; nested models are opened."""
    for operation in graph_of(model).operations:
        path = (*prefix, operation.name)
        if is_graph(operation):
            yield from named_operations(operation, path)
        else:
            yield path, operation
