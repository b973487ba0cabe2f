"""What a pruned model has to answer, computed on the whole model without anything of the surgery.

The whole model runs call by call, and beside every tensor runs a mark for each element: "gone". Of the pruning the
reference knows one thing, ``report.kept``: which output channels the layers that *make* channels (convolutions, dense
layers, …) keep. All else it finds by itself:

- A layer that makes channels reads zeros where its input is gone, and marks its own outputs as the report says. That
  is "the same channels zeroed", at the places where somebody reads them.
- Any other layer (BatchNorm, depthwise convolution, pooling, concatenation, flatten, an addition, a slice, …) is a
  black box: the gone elements are set to large random numbers of both signs, and what changes in the output is gone.
  So no rule about channel offsets is used, and one that is wrong in the package shows.
- A normalization over the channels has no zeroed counterpart (its mean would count the zeros): the reference takes the
  mean and variance of the channels that are not gone.

Were one operand of an addition gone and the other not, the sum would be marked, the reader of the sum would get zeros,
and the answers would differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import tree

CHANNEL_NORMS = (keras.layers.LayerNormalization, keras.layers.GroupNormalization, keras.layers.RMSNormalization)


@dataclass
class Marked:
    value: np.ndarray
    gone: np.ndarray  # without the batch axis


def masked_answer(model: keras.Model, kept, x) -> np.ndarray:
    """The whole model's answer to ``x`` with the channels that are not in ``kept`` zeroed."""
    rng = np.random.default_rng(0)
    out = _run_model(model, [Marked(np.asarray(x), np.zeros(x.shape[1:], bool))], kept, "", rng)
    (out,) = tree.flatten(out)
    assert not out.gone.any(), "the model's own outputs are to stay"
    return out.value


def _run_model(model, inputs, kept, prefix, rng):
    graph = getattr(model, "_functional", None) or model

    def run(operation, *args, **kwargs):
        path = prefix + operation.name
        if isinstance(operation, (keras.Sequential, keras.Model)):
            return _run_model(operation, tree.flatten(args), kept, path + "/", rng)
        return _run_one(operation, path, args, kwargs, kept, rng)

    return graph._run_through_graph(inputs, call_fn=run)


def _run_one(operation, path, args, kwargs, kept, rng):  # noqa: PLR0917
    marked = [leaf for leaf in tree.flatten((args, kwargs)) if isinstance(leaf, Marked)]
    gone = any(m.gone.any() for m in marked)
    if path in kept:
        return _run_maker(operation, path, args, kwargs, kept)
    if not gone:
        value = _call(operation, args, kwargs, lambda m: m.value)
        return tree.map_structure(lambda v: Marked(np.asarray(v), np.zeros(v.shape[1:], bool)), value)
    if isinstance(operation, CHANNEL_NORMS) and getattr(operation, "groups", 1) == 1:
        return _masked_norm(operation, marked[0])
    if isinstance(operation, keras.layers.Attention):
        return _masked_attention(operation, args[0])
    return _black_box(operation, args, kwargs, rng)


def _call(operation, args, kwargs, value_of):
    args, kwargs = tree.map_structure(lambda a: value_of(a) if isinstance(a, Marked) else a, (args, kwargs))
    if isinstance(operation, keras.layers.Layer):
        return operation(*args, **kwargs)
    return operation.call(*args, **kwargs)


def _zeroed(m: Marked) -> np.ndarray:
    return np.where(m.gone, np.zeros((), m.value.dtype), m.value)


def _run_maker(operation, path, args, kwargs, kept):
    heads = kept.get(f"{path}:heads")
    if heads is None:
        value = np.asarray(_call(operation, args, kwargs, _zeroed))
    else:
        # A head that is gone is one that the output projection does not read.
        kernel = operation.output_dense.kernel
        whole = np.array(kernel)
        kernel.assign(whole * np.isin(np.arange(whole.shape[0]), heads)[:, None, None])
        value = np.asarray(_call(operation, args, kwargs, _zeroed))
        kernel.assign(whole)
    gone = np.ones(value.shape[-1], bool)
    gone[list(kept[path])] = False
    return Marked(value, np.broadcast_to(gone, value.shape[1:]))


def _black_box(operation, args, kwargs, rng):
    def probed(low, high):
        def replace(m):
            return np.where(m.gone, rng.uniform(low, high, m.value.shape).astype(m.value.dtype), m.value)

        return tree.map_structure(np.asarray, _call(operation, args, kwargs, replace))

    value = tree.map_structure(np.asarray, _call(operation, args, kwargs, lambda m: m.value))
    # Of two magnitudes, so that an even function tells them apart too.
    above, below = probed(30, 40), probed(-70, -50)
    return tree.map_structure(lambda v, a, b: Marked(v, (a != b).any(axis=0)), value, above, below)


def _masked_norm(layer, m: Marked):
    gone = m.gone.reshape(-1, m.gone.shape[-1]).any(axis=0)
    x = m.value.astype(np.float64)
    rms = isinstance(layer, keras.layers.RMSNormalization)
    axes = tuple(range(1, x.ndim)) if isinstance(layer, keras.layers.GroupNormalization) else (-1,)
    there = x[..., ~gone]
    mean = 0.0 if rms else there.mean(axis=axes, keepdims=True)
    y = (x - mean) / np.sqrt(np.square(there - mean).mean(axis=axes, keepdims=True) + layer.epsilon)
    gamma, beta = (layer.scale, None) if rms else (layer.gamma, layer.beta)
    y = y if gamma is None else y * np.array(gamma)
    y = y if beta is None else y + np.array(beta)
    return Marked(y.astype(m.value.dtype), m.gone)


def _masked_attention(layer, tensors):
    query, value, *rest = tensors
    key = rest[0] if rest else value
    out = np.asarray(layer([_zeroed(query), value.value, _zeroed(key)]))
    gone = value.gone.reshape(-1, value.gone.shape[-1]).any(axis=0)
    return Marked(out, np.broadcast_to(gone, out.shape[1:]))


def randomize(model: keras.Model, seed: int = 0, examples: int = 4) -> keras.Model:
    """Weights as after training: no statistic is trivially zero or one, and answers depend on the input.

    With fresh weights the signal of a deep model dies out, its answer is that of its offsets, and any pruning would
    look exact. So each kernel is scaled until its output varies by 1 from example to example, and each BatchNorm gets
    the statistics of its input, roughly.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name, shape = weight.path.rsplit("/", 1)[-1], tuple(weight.shape)
        if name in ("gamma", "scale"):
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif name in ("beta", "bias", "alpha"):
            weight.assign(rng.normal(0, 0.2, shape))
    _scale(model, [example_inputs(model, examples, seed)], rng)
    return model


def example_inputs(model: keras.Model, examples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (examples, *model.inputs[0].shape[1:])).astype(np.float32)


def _scale(model, inputs, rng):
    def run(operation, *args, **kwargs):
        if isinstance(operation, (keras.Sequential, keras.Model)):
            return _scale(operation, tree.flatten(args), rng)
        if isinstance(operation, keras.layers.BatchNormalization):
            axes = tuple(range(args[0].ndim - 1))
            mean, variance = args[0].mean(axis=axes), args[0].var(axis=axes)
            operation.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
            operation.moving_variance.assign((variance + 1e-3) * rng.uniform(0.5, 1.5, mean.shape))
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(operation, name, None)
            if kernel is not None:
                out = np.asarray(operation(*args, **kwargs))
                spread = float((out - out.mean(axis=0)).std())
                kernel.assign(np.array(kernel) / (spread if spread > 1e-6 else 1.0))
        called = operation if isinstance(operation, keras.layers.Layer) else operation.call
        return tree.map_structure(np.asarray, called(*args, **kwargs))

    graph = getattr(model, "_functional", None) or model
    return graph._run_through_graph(inputs, call_fn=run)


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, over the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())
