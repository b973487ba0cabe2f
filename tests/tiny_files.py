"""Writes the .tflite files of a tiny untrained pair, both sides in one piece, and two bad ones.

    python tiny_files.py FOLDER

A script of its own, so that tests of the device side do not load TensorFlow into their process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SHAPE = (6, 6, 1)
CLASSES = 4
STUDENT_WIDTHS = (3, 4)
TEACHER_WIDTHS = (5, 8)


def main(folder: Path) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)

    def conv(channels_in: int, channels_out: int, kernel: int, activation: str | None) -> keras.Model:
        # The batch is fixed from the start: a free one leaves SHAPE and PACK operators in the file.
        inputs = keras.Input(batch_shape=(1, *SHAPE[:2], channels_in))
        layer = keras.layers.Conv2D(
            channels_out, kernel, padding="same", activation=activation, bias_initializer="glorot_normal"
        )
        return keras.Model(inputs, layer(inputs))

    def head(channels_in: int, batch: int | None = 1, bias: float = 0.0) -> keras.Model:
        inputs = keras.Input(batch_shape=(batch, *SHAPE[:2], channels_in))
        features = keras.layers.Flatten()(keras.layers.AveragePooling2D(3)(inputs))
        dense = keras.layers.Dense(CLASSES, bias_initializer=keras.initializers.Constant(bias))
        return keras.Model(inputs, dense(features))

    models = {}
    for side, widths in (("student", STUDENT_WIDTHS), ("teacher", TEACHER_WIDTHS)):
        models[f"g0.{side}"] = conv(SHAPE[-1], widths[0], 3, "relu")
        models[f"g1.{side}"] = conv(widths[0], widths[1], 3, "relu")
        models[f"g2.{side}"] = head(widths[1])
    for i, (narrow, wide) in enumerate(zip(STUDENT_WIDTHS, TEACHER_WIDTHS, strict=True)):
        models[f"b{i}.encoder"] = conv(wide, narrow, 1, None)
        models[f"b{i}.decoder"] = conv(narrow, wide, 1, None)
    for side in ("student", "teacher"):
        x = inputs = keras.Input(batch_shape=(1, *SHAPE))
        for i in range(3):
            x = models[f"g{i}.{side}"](x)
        models[f"whole.{side}"] = keras.Model(inputs, x)
    models["bad.free_batch"] = head(STUDENT_WIDTHS[1], batch=None)
    models["bad.nan"] = head(STUDENT_WIDTHS[1], bias=float("nan"))
    for stem, model in models.items():
        data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        (folder / f"{stem}.tflite").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
