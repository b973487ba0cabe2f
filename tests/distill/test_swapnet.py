"""The training step against the same losses computed one plain forward pass after another."""

import keras
import numpy as np
import pytest

from tfpwl.distill import LossWeights, MixedBatches, MixSampler, SwapNet, losses, plan_mix
from tfpwl.distill.mixing import REUSE_STUDENT, REUSE_TEACHER, RUN_STUDENT, RUN_TEACHER
from tfpwl.mix import Mix, all_mixes

WEIGHTS = LossWeights(temperature=3.0, alpha=0.3, sync=0.7, recon=0.5, cross=1.5)
MIXED = [mix for mix in all_mixes(3) if mix.switches]


def plain_loss(pair, mix, x, y):
    """What SwapNet must compute, written down as in docs/distillation.md; student in training mode."""

    def run(groups, h, training):
        outputs = []
        for group in groups:
            h = group(h, training=training)
            outputs.append(h)
        return outputs

    def convert(i, into, h):
        model = pair.converter(i, into)
        return h if model is None else model(h)

    *t, z_t = run(pair.teacher, x, False)
    *s, z_s = run(pair.student, x, True)
    # Up to the first switch the mix is the student or the teacher itself: run again, it would only count the same
    # batch statistics twice.
    first = mix.switches[0]
    h = (s if mix[0] == "S" else t)[first]
    for i in range(first + 1, len(mix)):
        if mix[i - 1] != mix[i]:
            h = convert(i - 1, mix[i], h)
        h = pair.group(i, mix[i])(h, training=mix[i] == "S")
    encoded = [convert(i, "S", f) for i, f in enumerate(t)]
    decoded = [convert(i, "T", f) for i, f in enumerate(s)]
    s_again = [convert(i, "S", f) for i, f in enumerate(decoded)]
    t_again = [convert(i, "T", f) for i, f in enumerate(encoded)]
    w = WEIGHTS
    return (
        w.alpha * losses.hard_loss(z_s, y)
        + (1 - w.alpha) * losses.soft_loss(z_t, z_s, temperature=w.temperature)
        + w.sync * losses.sync_loss(s, t, encoded, decoded)
        + w.recon * losses.recon_loss(s, t, s_again, t_again)
        + w.cross * losses.soft_loss(z_t, h, temperature=w.temperature)
    )


def test_a_plan_reuses_up_to_the_first_switch_and_runs_from_there():
    s, t, run_s, run_t = REUSE_STUDENT, REUSE_TEACHER, RUN_STUDENT, RUN_TEACHER
    assert plan_mix(Mix("SSTS")).tolist() == [s, s, run_t, run_s]
    assert plan_mix(Mix("TSST")).tolist() == [t, run_s, run_s, run_t]


def test_every_mix_trains_on_the_losses_of_the_paper(make_tiny_pair, tiny_batches):
    x, y = tiny_batches()[0]
    net = SwapNet(pair := make_tiny_pair(), weights=WEIGHTS)
    rate = 0.125
    net.compile(optimizer=keras.optimizers.SGD(rate), jit_compile=False)
    start = net.get_weights()
    for mix in MIXED:
        expected_loss, expected_weights = one_plain_step(make_tiny_pair(), mix, x, y, rate)
        net.set_weights(start)
        logs = net.train_on_batch((x, plan_mix(mix)), y, return_dict=True)
        net.reset_metrics()
        assert logs["loss"] == pytest.approx(expected_loss, rel=1e-5)  # float32, sums in another order
        trained = [w for m in (*pair.student, *net.converters) for w in m.get_weights()]
        for found, expected in zip(trained, expected_weights, strict=True):
            # One step of plain SGD: the difference to the start is the gradient; also batch statistics.
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)


def one_plain_step(pair, mix, x, y, rate):
    import tensorflow as tf

    models = [*pair.student, *(c for c in (*pair.encoders, *pair.decoders) if c is not None)]
    variables = [v for model in models for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = plain_loss(pair, mix, x, y)
    for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
        variable.assign_sub(rate * gradient)
    return float(loss), [w for model in models for w in model.get_weights()]


def test_the_teacher_stays_as_it_was(make_tiny_pair, tiny_batches):
    pair = make_tiny_pair()
    before = [w for group in pair.teacher for w in group.get_weights()]
    net = SwapNet(pair)
    net.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    net.fit(MixedBatches(tiny_batches(), MixSampler(3)), verbose=0)
    after = [w for group in pair.teacher for w in group.get_weights()]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_compiled_step_serves_every_mix(make_tiny_pair, tiny_batches):
    x, y = tiny_batches()[0]
    calls = []

    class Counting(SwapNet):
        def call(self, inputs, training=False):
            calls.append(training)
            return super().call(inputs, training=training)

    net = Counting(make_tiny_pair())
    net.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    for mix in MIXED:
        net.train_on_batch((x, plan_mix(mix)), y)
    # Keras may run the step once more to build the optimizer; six mixes must not mean six traces.
    assert len(calls) <= 2


def test_cross_all_runs_every_teacher_feature_through_the_students_tail(make_tiny_pair, tiny_batches):
    x, _ = tiny_batches()[0]
    pair = make_tiny_pair()
    net = SwapNet(pair, weights=LossWeights(alpha=0.0, sync=0.0, recon=0.0, cross=1.0), cross="all")
    passed = net((x, None), training=True)
    t = [x]
    for group in pair.teacher:
        t.append(group(t[-1], training=False))
    expected = []
    for i in range(2):
        h = pair.converter(i, "S")(t[i + 1]) if pair.converter(i, "S") is not None else t[i + 1]
        for group in pair.student[i + 1 :]:
            h = group(h, training=True)
        expected.append(h)
    assert len(passed.cross) == 2
    for found, wanted in zip(passed.cross, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)  # the same float32 operators


def test_inference_is_the_students(make_tiny_pair, tiny_batches):
    x, _ = tiny_batches()[0]
    pair = make_tiny_pair()
    h = x
    for group in pair.student:
        h = group(h, training=False)
    np.testing.assert_allclose(SwapNet(pair)(x), h, rtol=1e-6)


def test_half_of_the_mixes_have_one_switch_and_none_is_uniform():
    sampler = MixSampler(6, single_switch=0.5, seed=1)
    drawn = [sampler.draw(0, step) for step in range(2000)]
    single = sum(len(mix.switches) == 1 for mix in drawn) / len(drawn)
    # 1/2 plus the 10 of 62 coin flips that have one switch as well: 0.58; 2000 draws have a deviation of 0.011.
    assert single == pytest.approx(0.5 + 0.5 * 10 / 62, abs=0.05)
    assert all(mix.switches for mix in drawn)
    assert len(set(drawn)) == 62


def test_a_share_of_the_mixes_can_be_those_of_the_path():
    sampler = MixSampler(4, path_share=1.0)
    assert {sampler.draw(0, step) for step in range(100)} == {"TSSS", "TTSS", "TTTS"}


def test_a_mix_depends_on_seed_epoch_and_step_alone():
    assert MixSampler(4, seed=3).draw(2, 5) == MixSampler(4, seed=3).draw(2, 5)
    drawn = {tuple(MixSampler(4, seed=seed).draw(epoch, s) for s in range(12)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(drawn) == 4
