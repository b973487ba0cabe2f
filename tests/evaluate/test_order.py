from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpwl.bundle import (
    BoundaryEntry,
    FileEntry,
    GroupEntry,
    InputSpec,
    Manifest,
    OutputSpec,
    Preprocess,
    Producer,
    Requires,
    RuntimeHints,
    TensorSpec,
)
from tfpwl.evaluate import best_mix, describe_order, plan_order, simple_orders
from tfpwl.mix import Mix, all_mixes, path

SPEC = TensorSpec((1, 4), "float32")


def make_manifest(student, teacher, converters) -> Manifest:
    """A manifest of groups of these bytes; ``converters[i]`` is (encoder, decoder) bytes or None."""

    def entry(name, size):
        return FileEntry(name, size, "0" * 64)

    return Manifest(
        name="made",
        tier=None,
        precision="fp32",
        producer=Producer("0", "0", "0" * 64),
        input=InputSpec((1, 4), "float32", Preprocess(1.0, (0.0,), (1.0,))),
        output=OutputSpec((1, 4), "float32", "logits"),
        boundaries=tuple(
            BoundaryEntry(SPEC, SPEC)
            if sizes is None
            else BoundaryEntry(SPEC, SPEC, entry(f"b{i}.e", sizes[0]), entry(f"b{i}.d", sizes[1]))
            for i, sizes in enumerate(converters)
        ),
        groups=tuple(
            GroupEntry(entry(f"g{i}.s", s), entry(f"g{i}.t", t))
            for i, (s, t) in enumerate(zip(student, teacher, strict=True))
        ),
        order=tuple(range(len(student))),
        path=(),
        runtime=RuntimeHints(),
        requires=Requires("2.16.0"),
    )


@st.composite
def bundles(draw, max_groups=5):
    n = draw(st.integers(1, max_groups))
    size = st.integers(1, 1000)
    converters = draw(
        st.lists(st.none() | st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=n - 1, max_size=n - 1)
    )
    manifest = make_manifest(
        draw(st.lists(size, min_size=n, max_size=n)), draw(st.lists(size, min_size=n, max_size=n)), converters
    )
    # Whole per cents, so that equal accuracies and steps of nothing come up.
    percents = draw(st.lists(st.integers(0, 100), min_size=2**n, max_size=2**n))
    return manifest, {mix: p / 100 for mix, p in zip(all_mixes(n), percents, strict=True)}


def walk_by_hand(manifest, order, accuracy):
    """Mean accuracy and worst fall in per cents, from a device that keeps every file it ever loaded."""
    sizes = {e.file: e.bytes for e in manifest.files()}
    horizon = sum(g.teacher.bytes for g in manifest.groups) + sum(
        max(b.encoder.bytes, b.decoder.bytes) for b in manifest.boundaries if b.encoder is not None
    )
    way = path(order)
    have = {e.file for e in manifest.chain(way[0])}
    area, used, worst = 0.0, 0, 0
    for before, after in itertools.pairwise(way):
        new = {e.file for e in manifest.chain(after)} - have
        have |= new
        loaded = sum(sizes[file] for file in new)
        area += accuracy[before] * loaded
        used += loaded
        worst = max(worst, round(100 * accuracy[before]) - round(100 * accuracy[after]))
    area += accuracy[way[-1]] * (horizon - used)
    return area / horizon, worst


@settings(max_examples=150, deadline=None)
@given(bundles(), st.sampled_from([0, 1, 5, 30]))
def test_finds_what_trying_every_order_finds(made, tolerance):
    manifest, accuracy = made
    tried = {
        order: walk_by_hand(manifest, order, accuracy) for order in itertools.permutations(range(manifest.num_groups))
    }
    limit = max(tolerance, min(worst for _, worst in tried.values()))
    best = max(mean for mean, worst in tried.values() if worst <= limit)
    plan = plan_order(manifest, lambda wanted: {m: accuracy[m] for m in wanted}, tolerance=tolerance / 100)
    mean, worst = tried[plan.order]
    assert worst <= limit
    # Sums of at most ten float64 products: their order changes the last digits alone.
    assert plan.mean_accuracy == pytest.approx(mean, abs=1e-9)
    assert mean == pytest.approx(best, abs=1e-9)
    assert round(100 * plan.worst_fall) == worst
    assert plan.never_falls(tolerance / 100) == (worst <= tolerance)
    assert plan.exact


@settings(max_examples=60, deadline=None)
@given(bundles(), st.sampled_from([0, 5]))
def test_greedy_is_never_worse_than_prefix_and_suffix_and_measures_few_mixes(made, tolerance):
    manifest, accuracy = made
    asked = []

    def measure(wanted):
        asked.extend(wanted)
        return {m: accuracy[m] for m in wanted}

    plan = plan_order(manifest, measure, tolerance=tolerance / 100, exact=False)
    assert not plan.exact
    n = manifest.num_groups
    assert len(asked) == len(set(asked)) <= 1 + n * (n + 1) // 2 + 2 * n
    for order in simple_orders(n).values():
        other = describe_order(manifest, order, measure)
        if plan.worst_fall <= tolerance / 100 and other.worst_fall <= tolerance / 100:
            assert plan.mean_accuracy >= other.mean_accuracy - 1e-9
        else:
            assert plan.worst_fall <= max(other.worst_fall, tolerance / 100) + 1e-9


def test_two_groups_worked_out_on_paper():
    # prefix: 0.6 while 100 + 10 (encoder) load, 0.7 while 300 load; suffix: 0.6 for 300 + 20 (decoder), 0.8 for 100.
    manifest = make_manifest([10, 20], [100, 300], [(10, 20)])
    accuracy = {Mix("SS"): 0.6, Mix("TS"): 0.7, Mix("ST"): 0.8, Mix("TT"): 0.9}
    measure = lambda wanted: {m: accuracy[m] for m in wanted}  # noqa: E731
    prefix, suffix = (describe_order(manifest, order, measure) for order in ((0, 1), (1, 0)))
    # Both over 100 + 300 + 20 bytes; the prefix needs 10 fewer and has 0.9 for them.
    assert prefix.mean_accuracy == pytest.approx((0.6 * 110 + 0.7 * 300 + 0.9 * 10) / 420)
    assert suffix.mean_accuracy == pytest.approx((0.6 * 320 + 0.8 * 100) / 420)
    assert [step.loaded for step in prefix.steps] == [30, 140, 440]
    assert plan_order(manifest, measure).order == (0, 1)


def test_an_order_that_falls_is_taken_only_where_all_do():
    manifest = make_manifest([1, 1], [1, 1000], [None])
    # By area alone TS first: it costs one byte. But it falls.
    falls = {Mix("SS"): 0.6, Mix("TS"): 0.5, Mix("ST"): 0.6, Mix("TT"): 0.9}
    plan = plan_order(manifest, lambda wanted: falls)
    assert plan.order == (1, 0)
    assert plan.never_falls()
    assert plan_order(manifest, lambda wanted: falls, tolerance=0.1).never_falls(0.1)
    both = {**falls, Mix("ST"): 0.58}
    plan = plan_order(manifest, lambda wanted: both)
    assert plan.order == (1, 0)
    assert not plan.never_falls()
    assert plan.worst_fall == pytest.approx(0.02)


def test_a_tolerance_is_not_missed_by_rounding():
    manifest = make_manifest([1], [1], [])
    plan = plan_order(manifest, lambda wanted: {Mix("S"): 0.91, Mix("T"): 0.90})
    assert 0.91 - 0.90 > 0.01  # in float64
    assert plan.never_falls(0.01)


def test_cost_can_be_load_time():
    manifest = make_manifest([1, 1], [10, 10], [None])
    accuracy = {Mix("SS"): 0.5, Mix("TS"): 0.7, Mix("ST"): 0.7, Mix("TT"): 0.9}
    slow = {"g0.t": 30.0, "g1.t": 2.0}
    plan = plan_order(manifest, lambda wanted: accuracy, cost=lambda entry: slow.get(entry.file, 1.0))
    assert plan.order == (1, 0)
    assert plan.steps[-1].loaded == pytest.approx(34.0)


def test_ten_groups_are_planned_exactly_and_eleven_are_not():
    def measure(wanted):
        return {mix: mix.count("T") / len(mix) for mix in wanted}

    ten = make_manifest([1] * 10, [i + 1 for i in range(10)], [None] * 9)
    assert plan_order(ten, measure).order == tuple(range(10))
    assert plan_order(ten, measure).exact
    eleven = make_manifest([1] * 11, [11 - i for i in range(11)], [None] * 10)
    plan = plan_order(eleven, measure)
    assert plan.order == tuple(range(10, -1, -1))
    assert not plan.exact


@settings(max_examples=60, deadline=None)
@given(bundles(max_groups=4), st.integers(0, 5000))
def test_best_mix_is_the_most_accurate_that_fits(made, budget):
    manifest, accuracy = made
    found = best_mix(manifest, accuracy, budget)
    fitting = [mix for mix in accuracy if sum(e.bytes for e in manifest.chain(mix)) <= budget]
    if not fitting:
        assert found is None
    else:
        assert found in fitting
        assert accuracy[found] == max(accuracy[mix] for mix in fitting)


def test_wrong_arguments_are_told():
    manifest = make_manifest([1, 1], [1, 1], [None])
    with pytest.raises(ValueError, match=r"tolerance=-0.1; expected 0 or more"):
        plan_order(manifest, lambda wanted: {}, tolerance=-0.1)
    with pytest.raises(ValueError, match=r"accuracy of SS, ST.* is missing"):
        plan_order(manifest, lambda wanted: {})
    with pytest.raises(ValueError, match="each group"):
        describe_order(manifest, (0, 1, 2), lambda wanted: dict.fromkeys(wanted, 0.5))


def test_planning_needs_no_keras():
    code = "import sys, tfpwl.evaluate.order; sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
