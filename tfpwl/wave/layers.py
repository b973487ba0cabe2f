"""Keras layers whose kernels are sums of Kronecker products of shared templates and their own scalers.

Each takes the part of one ordinary layer in an auxiliary model and computes what that layer would with the rebuilt
kernel. They are for training only: :func:`tfpwl.wave.materialise` turns a model of them into ordinary layers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tfpwl.wave.kronecker import Shape, Tensor, kronecker_sum, scaler_shape

EMBEDDING = "btp,pd->btd"  # the equation of a ViT's patch embedding


class Templates(keras.layers.Layer):
    """The templates of one kind, shared by all layers of that kind; ``trainable = False`` freezes them.

    Args:
        value: ``(num_templates, p, q)`` or ``(num_templates, height, width, p, q)``.
        kind: the kind's name.
    """

    def __init__(self, value: np.ndarray, kind: str) -> None:
        super().__init__(name=f"templates_{kind}")
        self.kind = kind
        self.templates = self.add_weight(
            shape=value.shape, initializer=lambda *_, **__: ops.convert_to_tensor(value, "float32"), name="templates"
        )
        self.built = True

    @property
    def num_templates(self) -> int:
        return int(self.templates.shape[0])

    def value(self) -> Tensor:
        """The templates as a tensor, through which no gradient flows when they are frozen."""
        value = ops.convert_to_tensor(self.templates)
        return value if self.trainable else ops.stop_gradient(value)

    @property
    def template_shape(self) -> Shape:
        return tuple(self.templates.shape[1:])


class KroneckerLayer(keras.layers.Layer):
    """Base of the layers below: makes scalers, rebuilds kernels, turns into the ordinary layer it stands for."""

    def add_scalers(self, role: str, weight: Shape, templates: Templates) -> Any:
        """Scalers ``(num_templates, r, c)`` for a kernel of shape ``weight``, zero until they are set.

        Raises:
            ModelError: the templates do not divide the kernel.
        """
        what = self.name if role == "kernel" else f"{self.name}/{role}"
        shape = (templates.num_templates, *scaler_shape(weight, templates.template_shape, what))
        return self.add_weight(shape=shape, initializer="zeros", name=f"{role}_scalers")

    def pairs(self) -> dict[str, tuple[Any, Templates]]:
        """Scalers and templates by role of the kernel that they make."""
        raise NotImplementedError

    def kernel(self, role: str = "kernel") -> Tensor:
        """The rebuilt kernel, as a matrix (or one for each spatial position)."""
        scalers, templates = self.pairs()[role]
        return kronecker_sum(ops.convert_to_tensor(scalers), templates.value())

    def ordinary(self) -> keras.layers.Layer:
        """A fresh ordinary layer of the same name that computes the same, once :meth:`write` gave it the weights."""
        raise NotImplementedError

    def write(self, ordinary: Any) -> None:
        """Put rebuilt kernels and biases into the built layer ``ordinary``."""
        ordinary.kernel.assign(self.kernel())
        if self.bias is not None:
            ordinary.bias.assign(self.bias)


class KroneckerDense(KroneckerLayer):
    """A dense layer ``y = activation(x W + b)`` with ``W = Σ_k S_k ⊗ T_k``.

    Args:
        units: outputs, a multiple of the templates' columns; inputs are a multiple of their rows.
        templates: ``p x q`` each.
        activation: as of :class:`keras.layers.Dense`.
        use_bias: as of :class:`keras.layers.Dense`.
        name: of the layer.
    """

    def __init__(
        self,
        units: int,
        templates: Templates,
        *,
        activation: Any = None,
        use_bias: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.units, self.templates, self.use_bias = units, templates, use_bias
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        self.scalers = self.add_scalers("kernel", (input_shape[-1], self.units), self.templates)
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias") if self.use_bias else None

    def pairs(self) -> dict[str, tuple[Any, Templates]]:
        return {"kernel": (self.scalers, self.templates)}

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.matmul(inputs, self.kernel())
        return self.activation(outputs if self.bias is None else outputs + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def ordinary(self) -> keras.layers.Layer:
        return keras.layers.Dense(self.units, activation=self.activation, use_bias=self.use_bias, name=self.name)


class KroneckerConv2D(KroneckerLayer):
    """A convolution whose kernel is a Kronecker sum over the channel axes at every spatial position.

    Args:
        filters: output channels, a multiple of the templates' columns; input channels are a multiple of their rows.
        templates: ``height x width x p x q`` each; height and width are the kernel's.
        strides: as of :class:`keras.layers.Conv2D`.
        padding: as of :class:`keras.layers.Conv2D`.
        activation: as of :class:`keras.layers.Conv2D`.
        use_bias: as of :class:`keras.layers.Conv2D`.
        name: of the layer.
    """

    def __init__(
        self,
        filters: int,
        templates: Templates,
        *,
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        activation: Any = None,
        use_bias: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.filters, self.templates, self.use_bias = filters, templates, use_bias
        self.strides, self.padding = (strides if isinstance(strides, int) else list(strides)), padding
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        weight = (*self.templates.template_shape[:-2], input_shape[-1], self.filters)
        self.scalers = self.add_scalers("kernel", weight, self.templates)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None

    def pairs(self) -> dict[str, tuple[Any, Templates]]:
        return {"kernel": (self.scalers, self.templates)}

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.conv(
            inputs, self.kernel(), strides=self.strides, padding=self.padding, data_format="channels_last"
        )
        return self.activation(outputs if self.bias is None else outputs + self.bias)

    def ordinary(self) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            self.filters, self.templates.template_shape[:2], strides=self.strides, padding=self.padding,
            activation=self.activation, use_bias=self.use_bias, name=self.name,
        )  # fmt: skip


class KroneckerEmbedding(KroneckerLayer):
    """A ViT's patch embedding: a dense layer whose bias (class token and positions) is built from templates too.

    Args:
        units: width of a token.
        templates: of the projection, ``patch numbers x q``.
        position_templates: of the bias, ``positions x q``.
        name: of the layer.
    """

    def __init__(
        self, units: int, templates: Templates, position_templates: Templates, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.units, self.templates, self.position_templates = units, templates, position_templates
        self.bias = None  # the positions stand in for it

    def build(self, input_shape: Shape) -> None:
        _, positions, numbers = input_shape
        self.scalers = self.add_scalers("kernel", (numbers, self.units), self.templates)
        self.position_scalers = self.add_scalers("position", (positions, self.units), self.position_templates)

    def pairs(self) -> dict[str, tuple[Any, Templates]]:
        return {
            "kernel": (self.scalers, self.templates),
            "position": (self.position_scalers, self.position_templates),
        }

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(inputs, self.kernel()) + self.kernel("position")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def ordinary(self) -> keras.layers.Layer:
        positions = self.position_templates.template_shape[0]
        return keras.layers.EinsumDense(
            EMBEDDING, output_shape=(positions, self.units), bias_axes="td", name=self.name
        )  # fmt: skip

    def write(self, ordinary: Any) -> None:
        ordinary.kernel.assign(self.kernel())
        ordinary.bias.assign(self.kernel("position"))


class KroneckerAttention(KroneckerLayer):
    """Multi-head attention whose four projections are Kronecker sums; query, key and value share templates.

    Args:
        heads: number of heads.
        head_width: of query, key and value in each head.
        qkv: templates of the three input projections.
        output: templates of the output projection.
        name: of the layer.
    """

    def __init__(
        self, heads: int, head_width: int, qkv: Templates, output: Templates, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.heads, self.head_width, self.qkv, self.output_templates = heads, head_width, qkv, output

    def build(self, query_shape: Shape, value_shape: Shape | None = None) -> None:
        width, inner = query_shape[-1], self.heads * self.head_width
        self.scalers, self.biases = {}, {}
        for role in ("query", "key", "value", "output"):
            weight = (inner, width) if role == "output" else (width, inner)
            self.scalers[role] = self.add_scalers(role, weight, self._templates(role))
            self.biases[role] = self.add_weight(shape=weight[-1:], initializer="zeros", name=f"{role}_bias")

    def _templates(self, role: str) -> Templates:
        return self.output_templates if role == "output" else self.qkv

    def pairs(self) -> dict[str, tuple[Any, Templates]]:
        return {role: (scalers, self._templates(role)) for role, scalers in self.scalers.items()}

    def call(self, query: Tensor, value: Tensor) -> Tensor:
        positions = query.shape[1]

        def project(role: str, x: Tensor) -> Tensor:
            y = ops.matmul(x, self.kernel(role)) + self.biases[role]
            return ops.transpose(ops.reshape(y, (-1, positions, self.heads, self.head_width)), (0, 2, 1, 3))

        q, k, v = project("query", query), project("key", value), project("value", value)
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / self.head_width**0.5
        mixed = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), v), (0, 2, 1, 3))
        joined = ops.reshape(mixed, (-1, positions, self.heads * self.head_width))
        return ops.matmul(joined, self.kernel("output")) + self.biases["output"]

    def compute_output_shape(self, query_shape: Shape, value_shape: Shape | None = None) -> Shape:
        return query_shape

    def ordinary(self) -> keras.layers.Layer:
        return keras.layers.MultiHeadAttention(self.heads, self.head_width, name=self.name)

    def write(self, ordinary: Any) -> None:
        for role in self.scalers:
            dense = getattr(ordinary, f"{role}_dense")
            dense.kernel.assign(ops.reshape(self.kernel(role), dense.kernel.shape))
            dense.bias.assign(ops.reshape(self.biases[role], dense.bias.shape))
