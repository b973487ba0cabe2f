"""Targets, rounding, rankings and importances."""

from __future__ import annotations

import itertools
import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from tied_models import head

from tfpwl.errors import ModelError
from tfpwl.prune import Calibration, build_graph, count_flops, plan_pruning, prune, score_slices
from tfpwl.prune.importance import l1, l2, taylor
from tfpwl.prune.units import Units


@pytest.fixture
def wide() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for index, width in enumerate((32, 64, 48)):
        x = L.Conv2D(width, 3, padding="same", name=f"c{index}")(x)
        x = L.ReLU()(L.BatchNormalization(name=f"bn{index}")(x))
    return head(inputs, x)


def one_group(weights: list[float]) -> keras.Model:
    """A dense model whose hidden units have these norms."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, L.Dense(1, name="out")(L.Dense(len(weights), name="hidden", use_bias=False)(inputs)))
    model.get_layer("hidden").kernel.assign([weights])
    model.get_layer("out").kernel.assign(np.ones((len(weights), 1)))
    return model


@pytest.mark.parametrize("target", ["flops", "params", "channels"])
@pytest.mark.parametrize("ranking", ["global", "layer"])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.7])
def test_the_target_is_met_and_counts_are_rounded(wide: keras.Model, target: str, ranking: str, ratio: float) -> None:
    plan = plan_pruning(wide, ratio, target=target, ranking=ranking)
    counts = [group.after for group in plan.report.groups]
    assert all(count % 8 == 0 for count in counts)
    before, after = {
        "flops": (plan.report.flops_before, plan.report.flops_after),
        "params": (plan.report.params_before, plan.report.params_after),
        "channels": (144, sum(counts)),
    }[target]
    assert after <= (1 - ratio) * before
    # No more than about one step of 8 of these layers is taken too much.
    assert after >= (1 - ratio) * before * 0.6


def test_the_counts_of_the_plan_are_those_of_the_model(wide: keras.Model) -> None:
    plan = plan_pruning(wide, 0.5)
    smaller = prune(wide, 0.5)
    assert count_flops(smaller) == plan.report.flops_after
    assert smaller.count_params() == plan.report.params_after
    assert count_flops(wide) == plan.report.flops_before


def test_a_higher_ratio_never_keeps_more(wide: keras.Model) -> None:
    flops = [plan_pruning(wide, ratio).report.flops_after for ratio in (0, 0.2, 0.4, 0.6, 0.8)]
    assert all(a >= b for a, b in itertools.pairwise(flops))


def test_no_layer_loses_more_than_its_share(wide: keras.Model) -> None:
    wide.get_layer("c1").kernel.assign(wide.get_layer("c1").kernel * 1e-6)
    for group in plan_pruning(wide, 0.6, round_to=1, max_layer_ratio=0.75).report.groups:
        assert group.after >= group.before / 4


def test_the_least_important_go_first() -> None:
    plan = plan_pruning(one_group([3.0, 1.0, 2.0, 4.0]), 0.5, target="channels", round_to=1)
    assert plan.report.kept["hidden"] == (0, 3)
    assert plan.report.removed("hidden", 4) == (1, 2)


def test_one_layer_of_large_weights_counts_no_more_than_others() -> None:
    inputs = keras.Input((4,))
    x = L.Dense(16, name="a", kernel_initializer=keras.initializers.RandomUniform(seed=1))(inputs)
    model = keras.Model(inputs, L.Dense(2)(L.Dense(16, name="b")(x)))
    before = score_slices(build_graph(model), "l2")
    model.get_layer("a").kernel.assign(model.get_layer("a").kernel * 1000)
    np.testing.assert_allclose(score_slices(build_graph(model), "l2"), before, rtol=1e-5)  # float32 weights


def test_bn_scale_ranks_by_gamma(wide: keras.Model) -> None:
    gamma = np.random.default_rng(0).permutation(64) + 1.0
    wide.get_layer("bn1").gamma.assign(gamma)
    kept = plan_pruning(wide, 0.5, "bn_scale", target="channels", ranking="layer").report.kept["c1"]
    assert set(kept) == set(np.argsort(gamma)[32:].tolist())


def test_taylor_finds_the_channels_that_the_loss_needs() -> None:
    model = one_group([1.0, 1.0, 1.0, 1.0])
    model.get_layer("out").kernel.assign([[0.0], [1.0], [0.0], [1.0]])
    x = np.ones((8, 1), np.float32)
    calibration = Calibration(x, np.zeros((8, 1), np.float32), lambda y, z: (y - z) ** 2)
    plan = plan_pruning(model, 0.5, "taylor", target="channels", round_to=1, calibration=calibration)
    assert plan.report.kept["hidden"] == (1, 3)
    with pytest.raises(ModelError, match=r"calibration=Calibration\(x, y, loss\)"):
        plan_pruning(model, 0.5, "taylor", round_to=1)


def test_random_is_reproducible(wide: keras.Model) -> None:
    first, again, other = (plan_pruning(wide, 0.5, "random", seed=seed).report.kept for seed in (1, 1, 2))
    assert first == again != other


def test_an_importance_of_ones_own() -> None:
    plan = plan_pruning(
        one_group([1.0, 2.0, 3.0, 4.0]), 0.5, lambda w, axis: -l2(w, axis), target="channels", round_to=1
    )
    assert plan.report.kept["hidden"] == (0, 1)


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_scores_are_sums_over_slices(rank: int, axis: int, seed: int) -> None:
    axis %= rank
    rng = np.random.default_rng(seed)
    weight, gradient = rng.normal(size=(2, *rng.integers(1, 4, rank)))
    slices = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    gradients = np.moveaxis(gradient, axis, 0).reshape(weight.shape[axis], -1)
    # Double precision; sums of at most 27 terms.
    np.testing.assert_allclose(l1(weight, axis), [sum(abs(v) for v in s) for s in slices], atol=1e-12)
    np.testing.assert_allclose(l2(weight, axis), [sum(v * v for v in s) ** 0.5 for s in slices], atol=1e-12)
    expected = [abs(sum(a * b for a, b in zip(s, g, strict=True))) for s, g in zip(slices, gradients, strict=True)]
    np.testing.assert_allclose(taylor(weight, gradient, axis), expected, atol=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60), st.sets(st.integers(0, 29), max_size=3)
)
def test_united_units_are_the_connected_components(ties: list[tuple[int, int]], closed: set[int]) -> None:
    units = Units()
    units.new("all", 30)
    for a, b in ties:
        units.unite(np.array([a]), np.array([b]))
    for one in closed:
        units.close(np.array([one]))
    root, shut = units.resolve()
    component = list(range(30))  # the slow way: relabel until nothing changes
    for _ in range(30):
        for a, b in ties:
            low = min(component[a], component[b])
            component = [low if c in (component[a], component[b]) else c for c in component]
    assert root.tolist() == component
    assert shut.tolist() == [any(component[c] == component[i] for c in closed) for i in range(30)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1}, "Received ratio 1; expected 0"),
        ({"ratio": -0.1}, "Received ratio -0.1"),
        ({"ratio": float("nan")}, "Received ratio nan"),
        ({"importance": "magic"}, "Unknown importance 'magic'; expected one of l1, l2"),
        ({"target": "bytes"}, "Unknown target 'bytes'; expected one of flops, params, channels"),
        ({"ranking": "both"}, "Unknown ranking 'both'"),
        ({"round_to": 0}, "round_to 0; expected a whole number"),
        ({"max_layer_ratio": 0}, "max_layer_ratio 0"),
        ({"ratio": 0.99}, r"99 % of the flops cannot be removed; at most 9\d\.\d % can. Lower the ratio"),
    ],
)
def test_arguments_out_of_range(wide: keras.Model, options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        plan_pruning(wide, **options)


def test_a_layer_narrower_than_a_step_keeps_all() -> None:
    inputs = keras.Input((4,))
    x = L.Dense(64, name="wide")(L.Dense(6, name="narrow")(inputs))
    plan = plan_pruning(keras.Model(inputs, L.Dense(2)(x)), 0.5, target="params", ranking="layer")
    assert len(plan.report.kept["narrow"]) == 6
    assert json.dumps(plan.report.kept)
