import keras
import numpy as np
import pytest

from tfpwl.config import DistillConfig
from tfpwl.distill import distill, losses
from tfpwl.distill.trainer import _plain_distiller


def logits(groups, x):
    for group in groups:
        x = group(x, training=False)
    return np.asarray(x)


def config(**changes):
    return DistillConfig(**{"epochs": 6, "batch_size": 16, "learning_rate": 0.01, "clip_norm": 1.0, **changes})


@pytest.mark.parametrize(
    "changes", [{}, {"cross": "all"}, {"method": "kd"}, {"optimizer": "adamw", "learning_rate": 0.005}]
)
def test_training_lowers_the_loss_and_leaves_the_teacher_alone(make_tiny_pair, tiny_batches, changes):
    pair = make_tiny_pair()
    x, _ = tiny_batches()[0]
    before = logits(pair.teacher, x)
    history = distill(pair, tiny_batches(), config(**changes))
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    np.testing.assert_array_equal(logits(pair.teacher, x), before)
    assert all(group.trainable for group in pair.teacher)  # a saved teacher must not come back frozen


def test_plain_distillation_is_hard_and_soft_loss_of_the_paper(make_tiny_pair, tiny_batches):
    pair = make_tiny_pair()
    x, y = tiny_batches()[0]
    distiller = _plain_distiller(pair, config(temperature=3.0, alpha=0.3), augment=None)
    distiller.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    z_s, z_t = logits(pair.student, x), logits(pair.teacher, x)
    expected = 0.3 * losses.hard_loss(z_s, y) + 0.7 * losses.soft_loss(z_t, z_s, temperature=3.0)
    found = distiller.compute_loss(x=x, y=y, y_pred=z_s, training=False)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)  # float32


def test_training_twice_gives_the_same_weights(make_tiny_pair, tiny_batches):
    found = []
    for _ in range(2):
        pair = make_tiny_pair()
        distill(pair, tiny_batches(), config(epochs=2), seed=4)
        found.append([w for model in (*pair.student, pair.encoders[0]) for w in model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_interrupted_distillation_ends_with_the_same_weights(make_tiny_pair, tiny_batches, tmp_path):
    def run(checkpoint=None, stop_after=None):
        def on_progress(done, total, metrics):
            if stop_after is not None and done > stop_after:
                raise KeyboardInterrupt

        pair = make_tiny_pair()
        distill(pair, tiny_batches(), config(epochs=3), seed=4, checkpoint=checkpoint, on_progress=on_progress)
        return [w for model in (*pair.student, pair.encoders[0], pair.decoders[0]) for w in model.get_weights()]

    undisturbed = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=4)  # 3 steps an epoch: at the end of the second
    for a, b in zip(undisturbed, run(tmp_path), strict=True):
        np.testing.assert_array_equal(a, b)
