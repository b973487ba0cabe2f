import keras
import numpy as np
import pytest

from tfpwl.augment import AugmentationSeeds, make_augmentation
from tfpwl.config import TrainConfig
from tfpwl.errors import TrainingError
from tfpwl.training import Batches, SlowSGD, cross_entropy, fit, make_optimizer

SHAPE = (4, 4, 1)


def make_batches(n=40, batch_size=8):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, *SHAPE)).astype("float32"), rng.integers(0, 2, n)
    return Batches(x, y, lambda raw: raw, batch_size, seed=3)


def make_model(augment=None):
    inputs = keras.Input(SHAPE)
    x = augment(inputs) if augment is not None else inputs
    init = keras.initializers.GlorotUniform(seed=1)
    outputs = keras.layers.Dense(2, kernel_initializer=init, name="head")(keras.layers.Flatten()(x))
    return keras.Model(inputs, outputs)


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_spreads_the_target(smoothing):
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    y = np.array([0, 2, 1, 1])
    p = np.exp(z.astype("float64")) / np.exp(z.astype("float64")).sum(-1, keepdims=True)
    expected = -(((1 - smoothing) * np.eye(3)[y] + smoothing / 3) * np.log(p)).sum(-1)
    np.testing.assert_allclose(np.mean(cross_entropy(smoothing)(y, z)), expected.mean(), rtol=1e-5)  # float32


def test_an_epoch_has_each_image_at_most_once_in_whole_batches():
    batches = Batches(np.arange(10).reshape(10, 1, 1, 1), np.arange(10), lambda x: x, 4, seed=0)
    seen = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert len(batches) == 2
    assert len(set(seen)) == 8
    np.testing.assert_array_equal(batches[1][0].ravel(), batches[1][1])  # images stay with their labels


def test_the_order_depends_on_seed_and_epoch_alone():
    first, again = make_batches(), make_batches()
    first.set_epoch(5)
    again.set_epoch(1)
    again.set_epoch(5)
    np.testing.assert_array_equal(first[0][1], again[0][1])
    before = first[0][0]
    first.set_epoch(6)
    assert not np.array_equal(before, first[0][0])


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert len(make_batches(n=5, batch_size=8)) == 1


def test_weight_decay_goes_through_the_momentum_and_slow_variables_learn_slower():
    fast, slow = keras.Variable(np.array([2.0, -1.0], "float32")), keras.Variable(np.array([2.0, -1.0], "float32"))
    optimizer = SlowSGD(0.1, momentum=0.9, l2=0.5).watch([slow], 0.2)
    optimizer.build([fast, slow])
    expected = {}
    for name, factor in (("fast", 1.0), ("slow", 0.2)):
        w, velocity = np.array([2.0, -1.0]), np.zeros(2)
        for _ in range(3):
            velocity = 0.9 * velocity - 0.1 * factor * (1.0 + 0.5 * w)
            w = w + velocity
        expected[name] = w
    for _ in range(3):
        gradient = keras.ops.ones(2)
        optimizer.apply([gradient, gradient])
    np.testing.assert_allclose(fast.numpy(), expected["fast"], rtol=1e-5)  # float32 against float64
    np.testing.assert_allclose(slow.numpy(), expected["slow"], rtol=1e-5)


def test_adamw_learns_slow_variables_slower_too():
    start = np.array([2.0, -1.0], "float32")
    fast, slow = keras.Variable(start), keras.Variable(start)
    optimizer = make_optimizer(TrainConfig(optimizer="adamw", weight_decay=0.0), 10, slow=[slow], slow_factor=0.2)
    optimizer.build([fast, slow])
    optimizer.apply([keras.ops.ones(2), keras.ops.ones(2)])
    # Adam's first step has the size of the learning rate.
    np.testing.assert_allclose(slow.numpy() - start, 0.2 * (fast.numpy() - start), rtol=1e-4)


def test_clipping_bounds_all_gradients_together():
    weights = [keras.Variable(np.zeros(2, "float32")) for _ in range(2)]
    config = TrainConfig(learning_rate=1.0, final_learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=0.5)
    optimizer = make_optimizer(config, 10)
    optimizer.build(weights)
    optimizer.apply([keras.ops.array([3.0, 0.0]), keras.ops.array([0.0, 4.0])])
    np.testing.assert_allclose(np.concatenate([w.numpy() for w in weights]), [-0.3, 0, 0, -0.4], rtol=1e-5)


def test_the_learning_rate_rises_and_falls_on_a_cosine():
    config = TrainConfig(learning_rate=0.4, final_learning_rate=0.04, warmup=0.2)
    rate = make_optimizer(config, 100)._learning_rate
    found = [float(rate(step)) for step in (0, 10, 20, 60, 100)]
    halfway = 0.04 + 0.36 * 0.5
    assert found == pytest.approx([0.0, 0.2, 0.4, halfway, 0.04], abs=1e-6)


def test_an_interrupted_fit_goes_on_and_ends_with_the_same_weights(tmp_path):
    config = TrainConfig(epochs=4, learning_rate=0.1)

    def run(checkpoint=None, stop_after=None):
        augment = make_augmentation(SHAPE, rotation=5, flip=True, crop=0.25, seed=2)
        model = make_model(augment)

        def on_progress(done, total, metrics):
            if stop_after is not None and done > stop_after:
                raise KeyboardInterrupt

        history = fit(
            model, make_batches(), config, loss=loss(), seedables=[AugmentationSeeds(augment)],
            checkpoint=checkpoint, on_progress=on_progress,
        )  # fmt: skip
        return model.get_layer("head").get_weights(), history

    undisturbed, whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=12)  # 5 steps an epoch: in the third
    resumed, history = run(tmp_path)
    for a, b in zip(undisturbed, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [e["loss"] for e in history.epochs] == [e["loss"] for e in whole.epochs]
    assert len(history.epochs) == 4


def test_a_fit_that_was_done_is_not_done_again(tmp_path):
    first, again = make_model(), make_model()
    whole = fit(first, make_batches(), TrainConfig(epochs=2), loss=loss(), checkpoint=tmp_path)
    resumed = fit(again, make_batches(), TrainConfig(epochs=2), loss=loss(), checkpoint=tmp_path)
    assert (resumed.epochs, resumed.images_per_second) == (whole.epochs, None)
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [folder.name for folder in tmp_path.iterdir()] == ["epoch-000002"]


def test_a_kill_while_a_checkpoint_is_written_falls_back_to_the_one_before(tmp_path, monkeypatch):
    config = TrainConfig(epochs=3)
    undisturbed = make_model()
    fit(undisturbed, make_batches(), config, loss=loss())
    killed = make_model()
    save, saved = np.savez, []

    def save_half(path, **arrays):
        save(path, **arrays)
        saved.append(path)
        if len(saved) == 2:
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", save_half)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, make_batches(), config, loss=loss(), checkpoint=tmp_path)
    monkeypatch.undo()
    resumed = make_model()
    fit(resumed, make_batches(), config, loss=loss(), checkpoint=tmp_path)
    for a, b in zip(undisturbed.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_that_was_damaged_is_named(tmp_path):
    fit(make_model(), make_batches(), TrainConfig(epochs=1), loss=loss(), checkpoint=tmp_path)
    (tmp_path / "epoch-000001" / "state.npz").write_bytes(b"no weights")
    with pytest.raises(TrainingError, match=r"epoch-000001 cannot be read.*Remove it to start over"):
        fit(make_model(), make_batches(), TrainConfig(epochs=2), loss=loss(), checkpoint=tmp_path)


def test_progress_counts_steps_of_the_whole_fit():
    seen = []
    fit(make_model(), make_batches(), TrainConfig(epochs=2), loss=loss(),
        on_progress=lambda done, total, metrics: seen.append((done, total, set(metrics))))  # fmt: skip
    assert seen == [(5, 10, {"loss", "accuracy"}), (10, 10, {"loss", "accuracy"})]


def test_a_loss_that_is_not_finite_stops_with_the_remedy():
    batches = make_batches()
    batches._x[:] = np.nan
    with pytest.raises(TrainingError, match=r"The loss is nan after epoch 1\. Lower `learning_rate`"):
        fit(make_model(), batches, TrainConfig(epochs=3), loss=loss())


def test_a_fit_tells_its_speed():
    history = fit(make_model(), make_batches(), TrainConfig(epochs=1), loss=loss())
    assert history.images_per_second > 0
