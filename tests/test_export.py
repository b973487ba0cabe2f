"""Files that export writes: their interface, their one partition, their weights and their bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tfpwl.errors import ExportError
from tfpwl.export import export_model, export_pair
from tfpwl.mix import Mix
from tfpwl.pairs import ModelPair, compose, make_pair, named_models

LAYERS = keras.layers

# Automatic layer names (conv2d, conv2d_1, …) on purpose: they come from a counter over the whole process.
BUILD_SEEDED_MODEL = """
import keras
def build():
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.Reshape((36, 4))(x)
    x = keras.layers.Add()([x, keras.layers.MultiHeadAttention(2, 4)(x, x)])
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.LayerNormalization()(x)))
"""


def seeded_model() -> keras.Model:
    scope: dict = {}
    exec(BUILD_SEEDED_MODEL, scope)
    return scope["build"]()


def conv_group(shape, channels, *, stride=1, classes=None, seed=0, name="group") -> keras.Model:
    inputs = keras.Input(shape)
    init = keras.initializers.HeNormal(seed=seed)
    x = LAYERS.Conv2D(channels, 3, stride, padding="same", use_bias=False, kernel_initializer=init)(inputs)
    x = LAYERS.ReLU()(LAYERS.BatchNormalization()(x))
    if classes:
        x = LAYERS.Dense(classes, kernel_initializer=init)(LAYERS.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x, name=name)


def randomize_statistics(model: keras.Model, seed: int) -> None:
    """BatchNorm statistics as after training, so that folding them is really exercised."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        elif weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def run_file(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.fixture(scope="module")
def pair() -> ModelPair:
    def side(widths, what, seed):
        first = conv_group((8, 8, 1), widths[0], seed=seed, name=f"{what}0")
        second = conv_group((8, 8, widths[0]), widths[1], stride=2, seed=seed + 1, name=f"{what}1")
        last = conv_group((4, 4, widths[1]), widths[1], classes=10, seed=seed + 2, name=f"{what}2")
        return first, second, last

    pair = make_pair(side((4, 8), "student", 0), side((8, 8), "teacher", 10), seed=5)
    for i, model in enumerate(named_models(pair).values()):
        randomize_statistics(model, i)
    return pair


@pytest.fixture(scope="module")
def files(pair) -> dict[str, bytes]:
    return export_pair(pair)


def test_a_pair_gives_one_file_per_group_and_converter(pair, files):
    # Boundary 1 has equal widths, so it has no converters.
    assert set(files) == set(named_models(pair)) == {
        "g0.student", "g1.student", "g2.student", "g0.teacher", "g1.teacher", "g2.teacher", "b0.encoder", "b0.decoder",
    }  # fmt: skip


def test_every_file_has_one_signature_one_input_one_output_and_static_float32_shapes(pair, files):
    for stem, model in named_models(pair).items():
        interpreter = Interpreter(model_content=files[stem], num_threads=1)
        assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}
        (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert given["shape_signature"].tolist() == [1, *model.input_shape[1:]]
        assert taken["shape_signature"].tolist() == [1, *model.output_shape[1:]]
        assert given["dtype"] is taken["dtype"] is np.float32


def test_every_file_answers_as_keras_does(pair, files):
    rng = np.random.default_rng(1)
    for stem, model in named_models(pair).items():
        x = rng.normal(size=(1, *model.input_shape[1:])).astype(np.float32)
        # Other kernels sum in another order: some ulps of values of about 1.
        np.testing.assert_allclose(run_file(files[stem], x), model(x, training=False), atol=1e-5)


def test_the_chain_of_teacher_groups_equals_the_teacher_in_one_piece(pair, files):
    whole = export_model(compose(pair.teacher, "teacher"))
    for seed in range(5):
        x = answer = np.random.default_rng(seed).normal(size=(1, 8, 8, 1)).astype(np.float32)
        for group in range(pair.num_groups):
            answer = run_file(files[f"g{group}.teacher"], answer)
        # Contract 4 of the bundle at fp32.
        np.testing.assert_allclose(answer, run_file(whole, x), atol=1e-5, rtol=0)


def test_a_mix_through_the_files_equals_the_mix_in_keras(pair, files):
    answer = expected = np.random.default_rng(3).normal(size=(1, 8, 8, 1)).astype(np.float32)
    for stem in ("g0.teacher", "b0.encoder", "g1.student", "g2.teacher"):
        answer = run_file(files[stem], answer)
    for step in pair.chain(Mix("TST")):
        expected = step(expected, training=False)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_attention_stays_in_one_partition_and_equals_keras():
    model = seeded_model()
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(run_file(export_model(model), x), model(x, training=False), atol=1e-5)


def test_weights_are_inside_the_file():
    inputs = keras.Input((100,))
    model = keras.Model(inputs, LAYERS.Dense(500)(inputs))
    assert len(export_model(model)) > 100 * 500 * 4


def test_another_batch_is_fixed_in_the_file():
    model = conv_group((8, 8, 1), 4)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(run_file(export_model(model, batch=3), x), model(x, training=False), atol=1e-5)


def test_progress_counts_every_model(pair):
    seen: list[tuple[int, int]] = []
    export_pair(pair, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 8) for i in range(1, 9)]


def test_the_same_model_gives_the_same_bytes_after_other_models_were_built_and_converted():
    first = export_model(seeded_model())
    export_model(conv_group((8, 8, 1), 4))
    model = seeded_model()
    assert export_model(model) == first
    assert export_model(model) == first


def test_a_fresh_process_gives_the_same_bytes():
    # Two processes with different hash seeds; this one has built and converted other models before.
    script = (
        "from tfpwl.export import export_model\n"
        + BUILD_SEEDED_MODEL
        + ("import hashlib\nprint('sha', hashlib.sha256(export_model(build())).hexdigest())\n")
    )
    # Importing Keras has set a log level in this process' environment; the children start without one.
    env = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    here = hashlib.sha256(export_model(seeded_model())).hexdigest()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", script],
            env={**env, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        # Nothing else is printed, and none of the converter's chatter is logged.
        assert run.stdout == f"sha {here}\n", run.stderr
        assert "Ignored output_format" not in run.stderr
        assert "Starting new session" not in run.stderr


# Keras' own way of reading a variable, with numpy 2.4.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_saved_and_loaded_model_gives_the_same_bytes(tmp_path):
    model = seeded_model()
    model.save(tmp_path / "m.keras")
    assert export_model(keras.saving.load_model(tmp_path / "m.keras")) == export_model(model)


class Running(LAYERS.Layer):
    """Applies a function of ``tf``, for operators that Keras layers do not use."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def group_with(function) -> keras.Model:
    inputs = keras.Input((4, 4))
    x = LAYERS.Dense(4)(inputs)
    return keras.Model(inputs, LAYERS.Dense(4)(Running(function)(x)), name="odd")


def test_an_operator_that_splits_the_partition_is_named():
    with pytest.raises(ExportError, match=r"'odd' runs as 2 XNNPACK partitions, split by CUMSUM; expected exactly 1"):
        export_model(group_with(lambda x: keras.ops.cumsum(x, axis=1)))


def test_an_operator_left_over_at_the_end_is_named():
    inputs = keras.Input((4, 4))
    model = keras.Model(inputs, Running(lambda x: keras.ops.cumsum(x, axis=1))(LAYERS.Dense(4)(inputs)), name="odd")
    with pytest.raises(ExportError, match="1 XNNPACK partitions, split by CUMSUM"):
        export_model(model)


def test_an_operator_that_tflite_lacks_is_named():
    with pytest.raises(ExportError, match=r"'odd' cannot be converted .* built-in operators only: .*Erfinv") as caught:
        export_model(group_with(tf.math.erfinv))
    assert caught.value.__cause__ is not None


def test_an_operator_that_a_free_batch_leaves_behind_is_named():
    with pytest.raises(ExportError, match="operators GATHER compute shapes while running"):
        export_model(group_with(lambda x: keras.ops.take(x, [0, 1], axis=1)))


def test_a_layer_that_cannot_be_traced_is_told_with_its_reason():
    def draw(x):
        return x + keras.random.uniform((1, 4, 4), seed=keras.random.SeedGenerator(1))

    with pytest.raises(ExportError, match=r"'odd' cannot be converted .*: tf.function only supports singleton"):
        export_model(group_with(draw))


def test_a_group_that_mixes_the_batch_with_other_axes_is_refused():
    with pytest.raises(ExportError, match=r"maps \[1, 4, 4\] to \[4, 4, 4\].*Keep the batch axis first"):
        export_model(group_with(lambda x: tf.reshape(tf.transpose(x), (4, 4, 1)) * tf.ones((1, 1, 4))))


def test_a_group_that_does_nothing_is_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ExportError, match=r"holds no operator.*Merge it with a neighbour"):
        export_model(keras.Model(inputs, LAYERS.Identity()(inputs), name="empty"))


def test_two_outputs_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ExportError, match="1 inputs and 2 outputs; a group maps one tensor to one tensor"):
        export_model(keras.Model(inputs, [LAYERS.Dense(2)(inputs), LAYERS.Dense(3)(inputs)], name="fork"))


def test_a_free_input_size_is_refused():
    inputs = keras.Input((None, 4))
    with pytest.raises(ExportError, match=r"input shape \(None, 4\); expected fixed sizes"):
        export_model(keras.Model(inputs, LAYERS.Dense(2)(inputs)))


def test_a_dtype_other_than_float32_is_refused():
    inputs = keras.Input((4,), dtype="int32")
    with pytest.raises(ExportError, match="input of dtype int32; expected float32"):
        export_model(keras.Model(inputs, LAYERS.Embedding(3, 2)(inputs)))


def test_batch_zero_is_refused():
    with pytest.raises(ExportError, match="Received batch 0; expected 1 or more"):
        export_model(conv_group((8, 8, 1), 4), batch=0)


def test_weights_that_are_not_numbers_are_refused():
    model = conv_group((8, 8, 1), 4)
    model.layers[1].kernel.assign(np.full(model.layers[1].kernel.shape, np.nan))
    with pytest.raises(ExportError, match=r"differs from Keras' by nan.*Check the training"):
        export_model(model)


def test_the_file_at_fault_is_named(pair):
    broken = ModelPair(pair.student, (*pair.teacher[:2], group_with(lambda x: keras.ops.cumsum(x, axis=1))),
                       pair.encoders, pair.decoders)  # fmt: skip
    with pytest.raises(ExportError, match=r"^g2\.teacher\.tflite: Model 'odd'"):
        export_pair(broken)
