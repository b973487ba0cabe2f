"""Adapting a finished pair: who learns, and that nobody else changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpwl.config import TrainConfig
from tfpwl.distill import adapt
from tfpwl.mix import Mix
from tfpwl.models import resnet
from tfpwl.pairs import ModelPair, make_pair, named_models
from tfpwl.training import Batches

CONFIG = TrainConfig(epochs=6, batch_size=16, learning_rate=0.05, weight_decay=0.0)


@pytest.fixture
def pair() -> ModelPair:
    """Untrained, seeded: 3 groups of other widths, and one boundary without converters."""
    keras.utils.set_random_seed(3)
    student = resnet((8, 8, 1), 3, (4, 6, 8), (1, 1, 1), name="student")
    teacher = resnet((8, 8, 1), 3, (4, 8, 12), (1, 1, 1), name="teacher")
    made = make_pair(student, teacher, seed=0)
    assert [converter is None for converter in made.encoders] == [True, False]
    return made


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Three classes: dark, grey and bright images, with noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 64)
    x = rng.normal(0, 0.3, (64, 8, 8, 1)) + 2.0 * (y - 1)[:, None, None, None]
    return x.astype(np.float32), y


def weights(pair: ModelPair) -> dict[str, list[np.ndarray]]:
    return {stem: [value.copy() for value in model.get_weights()] for stem, model in named_models(pair).items()}


def loss(pair: ModelPair, mix: str, images: tuple[np.ndarray, np.ndarray]) -> float:
    x, y = images
    for model in pair.chain(Mix(mix)):
        x = model(x, training=False)
    log_p = keras.ops.convert_to_numpy(keras.ops.log_softmax(x))
    return float(-log_p[np.arange(len(y)), y].mean())


def learn(pair: ModelPair, images: tuple[np.ndarray, np.ndarray], *sides: str, **more: object) -> None:
    adapt(pair, Batches(*images, lambda x: x, 16, 0), CONFIG, sides, **more)


@pytest.mark.parametrize("sides", [("student",), ("teacher",), ("student", "teacher")])
def test_only_the_sides_that_learn_change_and_every_mix_with_them_learns(pair, images, sides):
    before, trainable = weights(pair), {stem: model.trainable for stem, model in named_models(pair).items()}
    mixes = ["TSS", "STT", *(side[0].upper() * 3 for side in sides)]
    untaught = {mix: loss(pair, mix, images) for mix in mixes}
    learn(pair, images, *sides)
    for stem, model in named_models(pair).items():
        pairs = list(zip(model.weights, before[stem], strict=True))
        changed = {weight.path for weight, then in pairs if not np.array_equal(np.asarray(weight), then)}
        assert bool(changed) == (stem.partition(".")[2] in sides), stem
        assert not any("moving" in path for path in changed), "statistics of batch normalization stay"
    assert {stem: model.trainable for stem, model in named_models(pair).items()} == trainable
    for mix in mixes:
        # The brightness of an image alone decides: six epochs get far below where an untaught pair stands.
        assert loss(pair, mix, images) < 0.8 * untaught[mix], mix


def test_an_interrupted_run_ends_as_an_undisturbed_one(pair, images, tmp_path):
    start = weights(pair)
    learn(pair, images, "student")
    undisturbed = weights(pair)
    for stem, model in named_models(pair).items():
        model.set_weights(start[stem])

    def interrupt(done, total, metrics):
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(pair, images, "student", checkpoint=tmp_path / "c", on_progress=interrupt)
    learn(pair, images, "student", checkpoint=tmp_path / "c")
    for stem, values in weights(pair).items():
        for now, then in zip(values, undisturbed[stem], strict=True):
            np.testing.assert_array_equal(now, then)
