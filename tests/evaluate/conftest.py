from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpwl.bundle import Bundle, Preprocess, Producer, write_bundle
from tfpwl.export import export_model, export_pair
from tfpwl.pairs import ModelPair, compose, make_pair

LAYERS = keras.layers
CLASSES = 4


def _group(shape, channels, *, seed, classes=None) -> keras.Model:
    inputs = keras.Input(shape)
    init = keras.initializers.HeNormal(seed=seed)
    x = LAYERS.ReLU()(LAYERS.Conv2D(channels, 3, padding="same", kernel_initializer=init)(inputs))
    if classes:
        x = LAYERS.Dense(classes, kernel_initializer=init)(LAYERS.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


def _side(widths, seed) -> tuple[keras.Model, ...]:
    first, second = widths
    return (
        _group((6, 6, 1), first, seed=seed),
        _group((6, 6, first), second, seed=seed + 1),
        _group((6, 6, second), second, seed=seed + 2, classes=CLASSES),
    )


@pytest.fixture(scope="session")
def pair() -> ModelPair:
    """Three groups; converters at boundary 0, equal widths at boundary 1."""
    return make_pair(_side((3, 6), 0), _side((5, 6), 10), seed=3)


def _write(folder, pair: ModelPair, batch: int) -> Bundle:
    return write_bundle(
        folder,
        files=export_pair(pair, batch=batch),
        name="tiny",
        precision="fp32",
        producer=Producer("0.1.0", "2.21.0", "0" * 64),
        preprocess=Preprocess(1.0, (0.0,), (1.0,)),
    )


@pytest.fixture(scope="session")
def bundle(pair, tmp_path_factory) -> Bundle:
    return _write(tmp_path_factory.mktemp("bundle") / "tiny", pair, 1)


@pytest.fixture(scope="session")
def bundle_of_batch_4(pair, tmp_path_factory) -> Bundle:
    return _write(tmp_path_factory.mktemp("bundle") / "batch4", pair, 4)


@pytest.fixture(scope="session")
def one_piece(pair) -> bytes:
    return export_model(compose(pair.teacher, "teacher"))


@pytest.fixture(scope="session")
def images() -> tuple[np.ndarray, np.ndarray]:
    """150 images, not a whole number of slices; the labels are noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(150, 6, 6, 1)).astype(np.float32), rng.integers(0, CLASSES, 150)
