"""Train the teacher of fashion_mobilenet.yaml: a MobileNetV2 at 0.35 width for 32×32 images, somebody else's model.

    python pipelines/make_mobilenet.py pipelines/fashion_mobilenet.keras

Plain Keras; tfpwl is asked for the images alone. Like the MobileNets of keras.applications the model takes pixels
from -1 to 1 and ends in a softmax.
"""

import argparse

import keras
from fashion32 import load

EPOCHS, BATCH, IMAGES, LEARNING_RATE = 5, 128, 20_000, 4e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="the .keras file to write")
    output = parser.parse_args().output
    keras.utils.set_random_seed(0)
    data = load()
    model = keras.applications.MobileNetV2(input_shape=data.input_shape, alpha=0.35, weights=None, classes=10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # 0.999 takes thousands of steps to follow the features
    steps = EPOCHS * (IMAGES // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 10)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"],
        jit_compile=False,
    )  # fmt: skip
    x, y = data.train.x[:IMAGES] / 127.5 - 1.0, data.train.y[:IMAGES]
    model.fit(x, y, BATCH, EPOCHS, validation_data=(data.test.x / 127.5 - 1.0, data.test.y), verbose=2)
    model.save(output)


if __name__ == "__main__":
    main()
