"""A derived student's kernels fitted to the teacher's features, layer by layer and in closed form.

A kernel that read all channels of the teacher reads those that are left now, and they are not what they were. Least
squares give the kernel that comes closest to the teacher's output of the same layer (He, Zhang & Sun, *Channel Pruning
for Accelerating Very Deep Neural Networks*, arXiv 1707.06168, eq. 5), from what the student itself puts in. No gradient
is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfpwl.models.calls import Call, flatten_model
from tfpwl.models.regroup import copied_names
from tfpwl.models.running import Find, call_own, run_calls
from tfpwl.models.statistics import check_images, is_normalization, normalize_by
from tfpwl.prune.derive import Derived

_ROWS = 50_000  # equations of one layer; more cost time and change little
_RIDGE = 1e-3  # towards the kernel there was, relative to the mean square of an input


def match_features(derived: Derived, teacher_groups: Sequence[keras.Model], images: np.ndarray) -> None:
    """Fit the kernels, batch normalizations and converters of a derived student to the teacher's features, in place.

    Use it in place of :func:`tfpwl.models.reestimate_statistics`, before distillation. Convolutions without channel
    groups, dense layers, encoders and decoders are fitted, depthwise kernels stay.

    Args:
        derived: of :func:`tfpwl.prune.derive_student`.
        teacher_groups: the teacher it was made from.
        images: preprocessed, some hundreds of the training set; they run through a group all at once.

    Raises:
        ModelError: the images do not fit the teacher.

    Example:
        >>> derived = derive_student(teacher, width=0.5, depth=0.5, data=images[:64])  # doctest: +SKIP
        >>> match_features(derived, teacher, images)                                   # doctest: +SKIP
    """
    check_images(teacher_groups[0], images)
    x: Any = ops.convert_to_tensor(images)
    t: Any = x
    for index, (student, teacher) in enumerate(zip(derived.student_groups, teacher_groups, strict=True)):
        wanted, t = _linear_outputs(teacher, t)
        kept = {
            name.removeprefix(f"{student.name}/"): list(channels)
            for name, channels in derived.report.prune.kept.items()
            if name.startswith(f"{student.name}/")
        }
        x = _fit_group(student, x, {name: wanted[name][..., kept[name]] for name in wanted if name in kept})
        for converters, source, into in ((derived.encoders, t, x), (derived.decoders, x, t)):
            converter = converters[index] if index < len(converters) else None
            if converter is not None:
                _fit(converter.layers[-1], source, np.asarray(into), spread=True)


def _linear_outputs(group: keras.Model, x: Any) -> tuple[dict[str, np.ndarray], Any]:
    """What the layers that can be fitted put out before their activation, by the names they have in a copy."""
    flat = flatten_model(group)
    names, found = copied_names(flat), {}

    def watch(call: Call, find: Find) -> Any:
        if _can_be_fitted(call.operation):
            found[names[call.path]] = np.asarray(_linear(call.operation, find(call.inputs[0])))
        return call_own(call, find)

    return found, run_calls(flat.calls, flat.inputs[0], x, flat.outputs[0], apply=watch)


def _fit_group(group: keras.Model, x: Any, wanted: Mapping[str, np.ndarray]) -> Any:
    flat = flatten_model(group)
    times_called = Counter(call.path for call in flat.calls)

    def fit_and_call(call: Call, find: Find) -> Any:
        layer = call.operation
        if is_normalization(layer):
            return normalize_by(layer, find(call.inputs[0]))
        if _can_be_fitted(layer) and call.name in wanted and times_called[call.path] == 1:
            _fit(layer, find(call.inputs[0]), wanted[call.name])
        return call_own(call, find)

    return run_calls(flat.calls, flat.inputs[0], x, flat.outputs[0], apply=fit_and_call)


def _can_be_fitted(layer: Any) -> bool:
    if type(layer) is not keras.layers.Conv2D:
        return type(layer) is keras.layers.Dense
    alike = len(set(layer.strides)) == len(set(layer.dilation_rate)) == 1
    return alike and layer.groups == 1 and layer.data_format == "channels_last"


def _linear(layer: Any, x: Any) -> Any:
    if isinstance(layer, keras.layers.Dense):
        y = ops.matmul(x, layer.kernel)
    else:
        y = ops.conv(x, layer.kernel, list(layer.strides), layer.padding, dilation_rate=layer.dilation_rate)
    return y if layer.bias is None else y + layer.bias


def _fit(layer: Any, x: Any, wanted: np.ndarray, *, spread: bool = False) -> None:
    """Give ``layer`` the kernel and bias whose linear output comes closest to ``wanted``.

    Least squares shrink: what cannot be told from the input becomes the mean. A normalization behind the layer makes up
    for it, a frozen group behind a converter does not; with ``spread`` each channel is scaled to vary as it should
    (digits, half the width, student then teacher: 38 % right without it, 72 % with it).
    """
    places = int(np.prod(wanted.shape[1:-1]))
    some = slice(max(16, _ROWS // places))
    rows, target = _rows(layer, x[some]), wanted[some].reshape(-1, wanted.shape[-1])
    kernel = np.asarray(layer.kernel.value, np.float64)
    weights = kernel.reshape(-1, kernel.shape[-1])
    if layer.bias is not None:
        rows = np.concatenate([rows, np.ones((len(rows), 1), rows.dtype)], axis=1)
        weights = np.concatenate([weights, np.asarray(layer.bias.value, np.float64)[None]])
    weights = weights + _solve(rows, target - rows @ weights)
    if spread:
        found = rows @ weights
        weights *= target.std(axis=0) / np.maximum(found.std(axis=0), np.finfo(np.float32).eps)
        weights[-1] += target.mean(axis=0) - (rows @ weights).mean(axis=0)
    values = [weights] if layer.bias is None else [weights[:-1], weights[-1]]
    layer.set_weights([value.reshape(weight.shape) for value, weight in zip(values, layer.weights, strict=True)])


def _rows(layer: Any, x: Any) -> np.ndarray:
    """Per place of the output, what the kernel is multiplied with."""
    if isinstance(layer, keras.layers.Conv2D):
        x = ops.image.extract_patches(
            x, layer.kernel_size, strides=layer.strides[0], dilation_rate=layer.dilation_rate[0], padding=layer.padding
        )
    return np.asarray(x, np.float64).reshape(-1, x.shape[-1])


def _solve(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest ``w`` (by a ridge) for which ``rows @ w`` comes closest to ``target``."""
    products = rows.T @ rows / len(rows)
    ridge = _RIDGE * float(np.trace(products)) / len(products) + np.finfo(np.float64).tiny
    solved: np.ndarray = np.linalg.solve(products + ridge * np.eye(len(products)), rows.T @ target / len(rows))
    return solved
