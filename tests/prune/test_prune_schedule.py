"""Targets, schedules, and pruning a side in steps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L

from tfpwl.errors import ModelError
from tfpwl.export import export_model
from tfpwl.models import build_groups
from tfpwl.pairs import compose
from tfpwl.prune import (
    Schedule,
    Target,
    count_flops,
    make_schedule,
    plan_target,
    prune_groups,
    report_sizes,
    step_ratio,
)
from tfpwl.prune.targets import time_share
from tfpwl.quantize.twin import legacy_keras


@pytest.fixture
def groups() -> tuple[keras.Model, ...]:
    return build_groups("vgg", (8, 8, 1), 5, name="teacher", widths=(32, 48), depths=(1, 2))


def weights_of(groups) -> list[np.ndarray]:
    return [np.array(weight) for group in groups for weight in group.weights]


def as_json(schedule: Schedule) -> Schedule:
    return Schedule(**json.loads(json.dumps(asdict(schedule))))


def test_the_ratio_follows_polynomial_decay() -> None:
    with legacy_keras():
        import tensorflow_model_optimization as tfmot

        decay = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.7, 0, 5)
        expected = [float(decay(step)[1]) for step in range(1, 6)]
    # tfmot computes in float32.
    assert [step_ratio(0.7, step, 5) for step in range(1, 6)] == pytest.approx(expected, abs=1e-6)


@given(final=st.floats(0, 0.99), steps=st.integers(1, 9))
def test_the_ratio_rises_to_the_target_ever_more_slowly(final: float, steps: int) -> None:
    ratios = [0.0, *(step_ratio(final, step, steps) for step in range(1, steps + 1))]
    assert ratios[-1] == final
    rises = np.diff(ratios)
    assert (rises >= 0).all()
    assert (np.diff(rises) <= 1e-12).all()  # rounding


@pytest.mark.parametrize("kind", ["flops", "params"])
def test_a_counted_target_is_met_at_each_step(groups, kind: str) -> None:
    schedule = make_schedule(groups, Target(kind, 0.6), steps=3)
    sizes = []
    smaller = prune_groups(
        groups, as_json(schedule), tune=lambda made, step: sizes.append(getattr(report_sizes(made), kind))
    )
    assert schedule.whole == getattr(report_sizes(groups), kind)
    assert all(size <= allowed for size, allowed in zip(sizes, schedule.allowed, strict=True))
    assert schedule.allowed[-1] == int(0.4 * schedule.whole)
    assert sizes[0] > sizes[1] > sizes[2] > 0.3 * schedule.whole
    assert [group.name for group in smaller] == [group.name for group in groups]
    assert compose(smaller, "s").output_shape == (None, 5)


def test_nothing_handed_in_is_changed(groups) -> None:
    before = weights_of(groups)
    prune_groups(groups, make_schedule(groups, Target("flops", 0.5), steps=2))
    for old, new in zip(before, weights_of(groups), strict=True):
        np.testing.assert_array_equal(old, new)


def test_importance_is_measured_anew_at_each_step() -> None:
    inputs = keras.Input((1,))
    hidden = L.Dense(40, name="hidden", use_bias=False)(inputs)
    model = keras.Model(inputs, L.Dense(1, name="out")(hidden), name="m")
    model.get_layer("hidden").kernel.assign([np.arange(40.0)])
    model.get_layer("out").kernel.assign(np.ones((40, 1)))
    left = []

    def tune(made, step: int) -> None:
        kernel = made[0].get_layer("hidden").kernel
        left.append(np.array(kernel)[0].tolist())
        kernel.assign(100 - np.array(kernel))  # the strongest become the weakest

    schedule = make_schedule([model], Target("channels", 0.5), steps=2, round_to=1)
    prune_groups([model], schedule, tune=tune, round_to=1)
    assert left == [list(range(18, 40)), [100 - value for value in range(18, 38)]]


def test_a_run_that_goes_on_ends_as_one_that_was_not_interrupted(groups) -> None:
    schedule = make_schedule(groups, Target("params", 0.6), steps=3)
    saved = []

    def tune(made, step: int) -> None:
        for group in made:
            group.set_weights([weight * (1.1 + 0.1 * step) for weight in group.get_weights()])
        saved.append([keras.models.clone_model(group) for group in made])
        for copy, group in zip(saved[-1], made, strict=True):
            copy.set_weights(group.get_weights())

    whole = prune_groups(groups, schedule, tune=tune)
    resumed = prune_groups(tuple(saved[0]), as_json(schedule), tune=tune, done=1)
    for old, new in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(a is b for a, b in zip(prune_groups(whole, schedule, done=3), whole, strict=True))


def test_bytes_are_those_of_the_file_whatever_training_does_in_between(groups) -> None:
    schedule = make_schedule(groups, Target("bytes", 0.5), steps=2, export=export_model)
    assert schedule == make_schedule(groups, Target("bytes", 0.5), steps=2, export=export_model)
    assert schedule.measured == pytest.approx(0.5, abs=0.1)  # channels go by steps of 8
    whole = len(export_model(compose(groups, "whole")))
    rng = np.random.default_rng(0)

    def tune(made, step: int) -> None:
        for group in made:
            group.set_weights([rng.random(weight.shape) for weight in group.get_weights()])

    # A budget of parameters that is too large, as after a training that moved what matters.
    schedule = replace(schedule, allowed=(schedule.allowed[0], int(1.3 * schedule.allowed[1])))
    smaller = prune_groups(groups, schedule, tune=tune, export=export_model)
    assert len(export_model(compose(smaller, "smaller"))) <= whole / 2 == schedule.bytes_allowed + whole % 2 / 2


def test_latency_is_reached_by_trials(groups) -> None:
    flops = {}

    def export(model: keras.Model) -> bytes:
        data = str(len(flops)).encode()
        flops[data] = count_flops(model)
        return data

    def measure(whole: bytes, smaller: bytes) -> float:  # a machine on which time falls more slowly than work
        return (flops[smaller] / flops[whole]) ** 0.5

    schedule = make_schedule(groups, Target("latency", 0.3), export=export, measure=measure)
    assert schedule.kind == "flops"
    assert 0.3 <= schedule.measured < 0.4  # steps of 8 channels
    assert len(flops) <= 7
    smaller = prune_groups(groups, schedule)
    assert (count_flops(compose(smaller, "s")) / schedule.whole) ** 0.5 <= 0.7
    with pytest.raises(ModelError, match=r"95 % of the latency cannot be taken away; .* the best took [678]\d\.\d %"):
        make_schedule(groups, Target("latency", 0.95), export=export, measure=measure)


def test_time_is_compared_in_turn() -> None:
    def file(width: int) -> bytes:
        inputs = keras.Input((64,))
        return export_model(keras.Model(inputs, L.Dense(4)(L.Dense(width)(inputs))))

    # 1000 times the work: the medians of answers in turn differ on any machine, however busy.
    assert time_share(file(16000), file(16)) < 0.5


def test_one_model_and_a_target_of_any_kind(groups) -> None:
    model = compose(groups, "whole")
    plan, measured = plan_target(model, Target("flops", 0.5))
    assert plan.report.flops_after <= plan.report.flops_before / 2
    assert measured is None
    plan, measured = plan_target(model, Target("bytes", 0.5), export=export_model)
    assert measured >= 0.5
    assert plan.report.target == "params"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flops", "Received the target 'flops'; expected flops=RATIO"),
        ("flops=half", "expected KIND=RATIO such as flops=0.5"),
        ("flops=1", r"Received ratio 1\.0; expected 0"),
        ("flops=nan", "Received ratio nan"),
        ("speed=0.5", "Unknown target 'speed'; expected one of flops, params, channels, bytes, latency"),
    ],
)
def test_targets_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Target.parse(text)


def test_arguments_out_of_range(groups) -> None:
    half = Target("flops", 0.5)
    schedule = make_schedule(groups, half, steps=2)
    for call, message in (
        (lambda: make_schedule(groups, half, steps=0), "Received steps=0; expected a whole number of at least 1"),
        (lambda: make_schedule(groups, half, steps=True), "Received steps=True"),
        (lambda: make_schedule([], half), "Received no groups"),
        (lambda: make_schedule([groups[0], groups[0]], half), "a name of its own for each"),
        (lambda: make_schedule(["model"], half), "Received str; expected a keras.Model"),
        (lambda: make_schedule(groups, Target("flops", 0.99)), "99 % of the flops cannot be removed"),
        (lambda: make_schedule(groups, Target("bytes", 0.5)), "give export=tfpwl.export.export_model"),
        (lambda: make_schedule(groups, half, importance="magic"), "Unknown importance 'magic'"),
        (lambda: prune_groups(groups, schedule, done=3), "Received done=3; expected 0 to 2"),
        (lambda: prune_groups(groups, schedule, done=-1), "Received done=-1"),
        (lambda: step_ratio(0.5, 3, 2), "Received step 3 of 2"),
    ):
        with pytest.raises(ModelError, match=message):
            call()
    with pytest.raises(ModelError, match="The schedule is of bytes"):
        prune_groups(groups, make_schedule(groups, Target("bytes", 0.5), export=export_model))


def test_boundaries_that_stay(groups) -> None:
    schedule = make_schedule(groups, Target("params", 0.4), keep_boundaries=[0])
    smaller = prune_groups(groups, schedule, keep_boundaries=[0])
    assert smaller[0].output_shape == groups[0].output_shape
