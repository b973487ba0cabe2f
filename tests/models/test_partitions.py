"""Every kind of group of every family runs as one XNNPACK partition (docs/design.md, contract 2)."""

from __future__ import annotations

import collections

import keras
import numpy as np
import pytest

from tfpwl.models import lenet5, resnet, vgg, vit

tf = pytest.importorskip("tensorflow")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

GROUPS = [
    *resnet((8, 8, 1), 5, (3, 4), (1, 1)),
    *vgg((4, 4, 1), 5, (3, 4), (1, 1)),
    *lenet5((8, 8, 1), 5, (2, 3), (6, 4)),
    *vit((8, 8, 1), 5, patch=4, width=8, depth=2, heads=2, mlp=12, groups=2),
]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_group_is_one_partition_and_keeps_its_outputs(group: keras.Model) -> None:
    # A free batch dimension would leave SHAPE, GATHER and PACK in the file.
    inputs = keras.Input(batch_shape=(1, *group.input_shape[1:]))
    content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, group(inputs))).convert()
    runner = interpreter.Interpreter(model_content=content, num_threads=1)
    runner.allocate_tensors()
    ops = collections.Counter(op["op_name"] for op in runner._get_ops_details())
    assert ops["DELEGATE"] == 1
    assert not {"SHAPE", "GATHER", "PACK", "REDUCE_PROD", "CUSTOM"} & set(ops)
    x = np.random.default_rng(0).normal(size=(1, *group.input_shape[1:])).astype(np.float32)
    runner.set_tensor(runner.get_input_details()[0]["index"], x)
    runner.invoke()
    got = runner.get_tensor(runner.get_output_details()[0]["index"])
    # Float32 in another order of summation; measured 7e-7 at most on these groups.
    np.testing.assert_allclose(got, np.asarray(group(x, training=False)), atol=1e-5)
