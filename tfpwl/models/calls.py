"""A functional Keras model as one flat list of calls, nested models opened up.

Keras keeps a functional model as nodes (one per call of a layer or of a ``keras.ops`` operation) that hang on the
layers themselves. Here the same graph is a list in topological order, in which a nested model is replaced by its
inside, so that what prunes, cuts and counts looks at one level only. It reads ``_nodes_by_depth``, ``_inbound_nodes``
and ``_functional``, for which Keras 3.15 has no public names; nothing of the model is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfpwl.errors import ModelError

Path = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that flows through the model; ``shape`` counts the batch axis, sizes may be ``None``."""

    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation.

    Attributes:
        operation: the ``keras.Operation`` (a layer or an operation of ``keras.ops``).
        path: its name, with the names of the nested models around it before it.
        args: positional arguments, a :class:`Value` in place of each tensor.
        kwargs: keyword arguments, likewise.
        inputs: every value among the arguments, in order.
        outputs: the values that the call gives.
        node_index: which of the operation's ``inbound_nodes`` in the model's config this call is.
    """

    operation: Any
    path: Path
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    node_index: int

    @property
    def name(self) -> str:
        """The path with slashes, as reports show it."""
        return "/".join(self.path)


@dataclass(frozen=True)
class FlatModel:
    """The calls of a model in topological order, with its inputs and outputs."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...]


def is_graph(operation: Any) -> bool:
    """Whether ``operation`` is a model whose inside can be read: a built functional or sequential one.

    A subclass may override ``call``, so only Keras' own classes count.
    """
    kind = type(operation)
    if not kind.__module__.startswith(("keras.src.models.", "keras.models.")):
        return False
    return kind.__name__ == "Functional" or (kind.__name__ == "Sequential" and graph_of(operation) is not None)


def graph_of(model: Any) -> Any:
    """The functional graph of ``model``; a sequential model keeps one inside (``None`` until it is built)."""
    return getattr(model, "_functional", None) if type(model).__name__ == "Sequential" else model


def check_functional(model: object) -> keras.Model:
    """``model`` if its graph can be read.

    Raises:
        ModelError: it is no Keras model, a subclassed one, an unbuilt sequential one, or holds a ``Lambda`` layer.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"Received {type(model).__name__}; expected a keras.Model.")
    if not is_graph(model):
        if type(model).__name__ == "Sequential":
            raise ModelError(f"The sequential model {model.name!r} is not built; give it a keras.Input as first layer.")
        raise ModelError(
            f"Model {model.name!r} is of the class {type(model).__name__}, a subclassed model whose calls cannot be "
            "read. Rebuild it as a functional model: keras.Model(inputs, outputs)."
        )
    for operation in operations_of(model):
        if isinstance(operation, keras.layers.Lambda):
            raise ModelError(
                f"Layer {operation.name!r} is a Lambda: it carries Python code, which cannot be read, and which Keras' "
                "safe loading refuses. Write it with keras.layers or keras.ops."
            )
    return model


def operations_of(model: Any) -> Iterator[Any]:
    """Every layer and operation of the model, those of nested models included."""
    for operation in graph_of(model).operations:
        if is_graph(operation):
            yield from operations_of(operation)
        else:
            yield operation


def flatten_model(model: keras.Model) -> FlatModel:
    """List the calls of ``model``.

    A nested model's input layer is a call too (it hands its value on), because its config carries a shape.

    Raises:
        ModelError: as :func:`check_functional`, or one layer belongs to two nested models.

    Example:
        >>> inputs = keras.Input((4,))
        >>> flat = flatten_model(keras.Model(inputs, keras.layers.Dense(2, name="fc")(inputs)))
        >>> [call.name for call in flat.calls]
        ['fc']
    """
    check_functional(model)
    inputs = tuple(_value(tensor) for tensor in graph_of(model).inputs)
    calls: list[Call] = []
    outputs = _walk(model, inputs, (), calls)
    _check_sharing(calls)
    return FlatModel(inputs, outputs, tuple(calls))


def _check_sharing(calls: Sequence[Call]) -> None:
    places: dict[int, Path] = {}
    for call in calls:
        path = places.setdefault(id(call.operation), call.path)
        if path != call.path:
            raise ModelError(
                f"The layer {call.operation.name!r} belongs to two models, {'/'.join(path)!r} and {call.name!r}; "
                "saving such a model parts them too. Call the nested model twice, or build the layer twice."
            )


def _value(tensor: Any) -> Value:
    return Value(tuple(tensor.shape), str(tensor.dtype))


def _walk(model: Any, inputs: Sequence[Value], prefix: Path, calls: list[Call]) -> tuple[Value, ...]:
    graph = graph_of(model)
    values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    own = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            operation, path = node.operation, (*prefix, node.operation.name)
            if node.is_input:
                if prefix:
                    value = values[id(node.outputs[0])]
                    calls.append(Call(operation, path, (value,), {}, (value,), (value,), 0))
                continue
            args, kwargs = _with_values((node.arguments.args, node.arguments.kwargs), values)
            given = tuple(values[id(tensor)] for tensor in node.arguments.keras_tensors)
            if is_graph(operation) and not list(_found(kwargs)):
                outputs = _walk(operation, given, path, calls)
            else:
                outputs = tuple(_value(tensor) for tensor in node.outputs)
                index = [id(n) for n in operation._inbound_nodes if id(n) in own].index(id(node))
                calls.append(Call(operation, path, args, kwargs, given, outputs, index))
            values.update((id(tensor), value) for tensor, value in zip(node.outputs, outputs, strict=True))
    return tuple(values[id(tensor)] for tensor in graph.outputs)


def _with_values(argument: Any, values: dict[int, Value]) -> Any:
    if isinstance(argument, keras.KerasTensor):
        return values[id(argument)]
    if isinstance(argument, (tuple, list)):
        return type(argument)(_with_values(item, values) for item in argument)
    if isinstance(argument, dict):
        return {key: _with_values(item, values) for key, item in argument.items()}
    return argument


def _found(argument: Any) -> Iterator[Value]:
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from _found(item)
    elif isinstance(argument, dict):
        for item in argument.values():
            yield from _found(item)
