"""Keras models as somebody else might save them: tiny classifiers of the 8×8 digits, right and wrong ones."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers as L

from tfpwl.data import load_dataset


def classifier(ending: str = "softmax", classes: int = 10, shape: tuple = (8, 8, 1)) -> keras.Model:
    """A residual network that takes raw pixels, 0 to 16; its name is one that a pipeline uses itself."""
    inputs = keras.Input(shape)
    x = L.Rescaling(1 / 8, offset=-1.0, name="rescaling")(inputs)
    x = _conv(x, "stem", 16)
    x = L.Add(name="add0")([x, _conv(x, "block0", 16)])
    x = _conv(x, "down", 24, 2)
    x = L.Add(name="add1")([x, _conv(x, "block1", 24)])
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(classes, activation=ending, name="classes")(x), name="student")


def trained_classifier() -> keras.Model:
    """A classifier that is right for most digits."""
    keras.utils.set_random_seed(0)
    model = classifier()
    data = load_dataset("digits")
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(data.train.x.astype("float32"), data.train.y, batch_size=32, epochs=5, verbose=0)
    return model


def _conv(x, name: str, channels: int, stride: int = 1):
    x = L.Conv2D(channels, 3, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = L.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return L.ReLU(name=f"{name}_relu")(x)


def with_lambda() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3)(L.Lambda(lambda image: image / 16)(inputs)))
    return keras.Model(inputs, L.Dense(10)(x))


@keras.saving.register_keras_serializable(package="tfpwl_tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flat, self.head = L.Flatten(), L.Dense(10)

    def call(self, x):
        return self.head(self.flat(x))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(keras.ops.zeros((1, 8, 8, 1)))
    return model


def shared() -> keras.Model:
    """One convolution called twice."""
    inputs = keras.Input((8, 8, 1))
    twice = L.Conv2D(8, 3, padding="same", name="twice")
    x = L.ReLU(name="between")(twice(L.Conv2D(8, 3, name="first")(inputs)))
    x = L.GlobalAveragePooling2D()(twice(x))
    return keras.Model(inputs, L.Dense(10, name="classes")(x))


def of_vectors() -> keras.Model:
    inputs = keras.Input((64,))
    return keras.Model(inputs, L.Dense(10)(L.Dense(16)(inputs)))


def of_two_images() -> keras.Model:
    inputs = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    return keras.Model(inputs, L.Dense(10)(L.Flatten()(L.Add()(inputs))))


def of_bytes() -> keras.Model:
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    return keras.Model(inputs, L.Dense(10)(L.Flatten()(L.Rescaling(1 / 16)(inputs))))


def of_maps() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, L.Conv2D(10, 3)(L.Conv2D(8, 3)(inputs)))


def of_any_size() -> keras.Model:
    return classifier(shape=(None, None, 1))


def saved(model: keras.Model, folder: Path, name: str = "model.keras") -> Path:
    model.save(folder / name)
    return folder / name
