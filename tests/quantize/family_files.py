"""Writes small untrained pairs of every family as .tflite files: ``python family_files.py FOLDER``.

``FOLDER/<family>/<stem>.tflite``, with the teacher in one piece as ``teacher.tflite``. A script of its own, so that
the tests do not load TensorFlow into their process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"

SHAPE, CLASSES = (16, 16, 1), 5


def main(folder: Path) -> None:
    import keras
    import numpy as np

    from tfpwl.export import export_model, export_pair
    from tfpwl.models import lenet5, resnet, vgg, vit
    from tfpwl.pairs import compose, make_pair

    families = {
        # Equal widths at the last boundary: no converters there.
        "lenet5": (lenet5, [((2, 3), (8, 6)), ((3, 5), (8, 7))]),
        "vgg": (vgg, [((4, 6), (1, 1)), ((6, 8), (2, 1))]),
        "resnet": (resnet, [((4, 6), (1, 1)), ((6, 10), (2, 1))]),
    }
    pairs = {}
    for name, (family, sides) in families.items():
        pairs[name] = [family(SHAPE, CLASSES, *sizes, name=side, seed=i) for i, (side, sizes) in enumerate(
            zip(("student", "teacher"), sides, strict=True)
        )]  # fmt: skip
    pairs["vit"] = [
        vit(SHAPE, CLASSES, patch=4, width=width, depth=2, heads=2, mlp=2 * width, groups=2, name=side, seed=i)
        for i, (side, width) in enumerate((("student", 8), ("teacher", 12)))
    ]
    rng = np.random.default_rng(0)
    for name, (student, teacher) in pairs.items():
        for model in (*student, *teacher):
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    # As after training: statistics that are not 0 and 1.
                    shape = layer.gamma.shape
                    layer.set_weights([rng.uniform(0.5, 1.5, shape), rng.normal(0, 0.3, shape),
                                       rng.normal(0, 0.3, shape), rng.uniform(0.5, 2.0, shape)])  # fmt: skip
        for side in (student, teacher):
            # Untrained, a network answers one class to everything; with logits around 0 it tells images apart.
            logits = compose(side, "all")(rng.random((64, *SHAPE), np.float32), training=False)
            head = side[-1].layers[-1]
            head.set_weights([head.get_weights()[0], -np.mean(np.asarray(logits), axis=0)])
        pair = make_pair(student, teacher, seed=2)
        files = {**export_pair(pair), "teacher": export_model(compose(pair.teacher, "teacher"))}
        (folder / name).mkdir()
        for stem, data in files.items():
            (folder / name / f"{stem}.tflite").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
