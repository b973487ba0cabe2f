import keras
import numpy as np
import pytest

from tfpwl.fused import fold_batchnorm, fuse_batchnorm
from tfpwl.models import resnet, vgg
from tfpwl.pairs import compose


def with_statistics(groups):
    """Groups whose batch normalizations are not the identity."""
    rng = np.random.default_rng(0)
    for group in groups:
        for weight in group.weights:
            if not weight.path.endswith("kernel"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return groups


def images(*shape):
    return np.random.default_rng(1).normal(size=(16, *shape)).astype("float32")


@pytest.mark.parametrize("family", [resnet, vgg])
def test_folding_keeps_the_function_and_drops_every_normalization(family):
    model = compose(with_statistics(family((8, 8, 3), 10, (4, 8), (2, 1), name="m")), "m")
    folded = [fold_batchnorm(group) for group in model.layers[1:]]
    x = images(8, 8, 3)
    # Relative to the largest output: float32 products in another order.
    expected = np.asarray(model(x, training=False))
    found = np.asarray(compose(folded, "folded")(x))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    kinds = {type(layer) for group in folded for layer in group.layers}
    assert keras.layers.BatchNormalization not in kinds
    assert not any(group.trainable_variables for group in folded)


def test_folding_leaves_alone_what_it_cannot_fold():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.BatchNormalization(name="first")(inputs)  # nothing before it
    x = keras.layers.Conv2D(3, 3, activation="relu", name="activated")(x)
    x = keras.layers.BatchNormalization(name="after_relu")(x)
    y = keras.layers.Conv2D(3, 1, name="shared")(x)
    x = keras.layers.BatchNormalization(name="of_shared")(y) + y  # the convolution feeds the sum as well
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = keras.layers.BatchNormalization(name="of_depthwise", scale=False)(x)
    (model,) = with_statistics([keras.Model(inputs, x)])
    folded = fold_batchnorm(model)
    data = images(6, 6, 2)
    np.testing.assert_allclose(folded(data), model(data, training=False), rtol=1e-4, atol=1e-4)
    left = {layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert left == {"first", "after_relu", "of_shared"}


def test_fused_training_gives_the_same_numbers_gradients_and_statistics():
    import tensorflow as tf

    (model,) = with_statistics(resnet((8, 8, 3), 10, (4,), (2,), name="m"))
    fused = fuse_batchnorm(model)
    x, found = images(8, 8, 3), {}
    for name, network in (("keras", model), ("fused", fused)):
        with tf.GradientTape() as tape:
            outputs = network(x, training=True)
            loss = tf.reduce_mean(outputs**2)
        gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
        found[name] = [np.asarray(outputs), *map(np.asarray, gradients), *network.get_weights()]
    for plain, fast in zip(found["keras"], found["fused"], strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-4 * max(1.0, np.abs(plain).max()))  # float32, other sums


def test_trained_weights_go_back_by_set_weights():
    (model,) = resnet((8, 8, 3), 10, (4,), (1,), name="m")
    fused = fuse_batchnorm(model)
    fused(images(8, 8, 3), training=True)
    model.set_weights(fused.get_weights())
    np.testing.assert_allclose(model(images(8, 8, 3)), fused(images(8, 8, 3)), rtol=1e-6)
