"""Pruning one side of a pair: groups, boundaries and converters stay consistent."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from masked_reference import example_inputs, masked_answer, randomize, relative_difference

from tfpwl.errors import ModelError
from tfpwl.export import export_pair
from tfpwl.mix import Mix
from tfpwl.models import build_groups
from tfpwl.pairs import ModelPair, compose, load_pair, make_pair, save_pair
from tfpwl.prune import Target, make_schedule, plan_pruning, prune_pair
from tfpwl.prune.side import join_groups

MIXES = [Mix("".join(sides)) for sides in itertools.product("ST", repeat=3)]


def side(name: str, widths: tuple[int, ...], depths=(1, 1, 2)) -> tuple[keras.Model, ...]:
    groups = build_groups("resnet", (8, 8, 1), 5, name=name, widths=widths, depths=depths)
    randomize(compose(groups, name))
    return groups


def with_converters(student: tuple[int, ...] = (16, 24, 32)) -> ModelPair:
    made = make_pair(side("student", student), side("teacher", (24, 32, 48)))
    rng = np.random.default_rng(0)
    for converter in (*made.encoders, *made.decoders):
        converter.set_weights([rng.normal(0, 0.2, weight.shape) for weight in converter.get_weights()])
    return made


@pytest.fixture
def pair() -> ModelPair:
    return with_converters()


@pytest.fixture
def alike() -> ModelPair:
    return make_pair(side("student", (16, 24, 32)), side("teacher", (16, 24, 32), (2, 2, 2)))


def schedules(pair: ModelPair, *sides: str, ratio: float = 0.5, steps: int = 1):
    return {one: make_schedule(getattr(pair, one), Target("flops", ratio), steps=steps) for one in sides}


def answer(pair: ModelPair, mix: Mix, x: np.ndarray) -> np.ndarray:
    for step in pair.chain(mix):
        x = step(x)
    return np.asarray(x)


def images(pair: ModelPair, count: int = 3) -> np.ndarray:
    return example_inputs(pair.student[0], count)


def widths(pair: ModelPair) -> list[tuple[int, int]]:
    return [(boundary.student[-1], boundary.teacher[-1]) for boundary in pair.boundaries]


@pytest.mark.parametrize("pruned", ["student", "teacher"])
def test_every_mix_is_the_whole_one_with_channels_zeroed(pruned: str) -> None:
    pair = with_converters() if pruned == "student" else with_converters((8, 8, 32))  # far below the teacher
    plans = schedules(pair, pruned, ratio=0.4)
    smaller = prune_pair(pair, plans)
    ratio = 1 - plans[pruned].allowed[0] / plans[pruned].whole
    kept = plan_pruning(join_groups(getattr(pair, pruned)), ratio).report.kept
    x = images(pair)
    for mix in (Mix(sides) for sides in ("SST", "TTS", "STS", "TST")):  # both converters of both boundaries
        chain = pair.chain(mix)
        # Converters make channels too: those into the pruned side keep what the group before that boundary keeps.
        ends = {f"{g.name}/{g.name}_linear": None for g in chain if g.name.startswith("b")}
        for name in ends:
            boundary = int(name[1])
            into = "student" if "encoder" in name else "teacher"
            last = f"{pruned}_g{boundary}/{pruned}_g{boundary}_block0_2_conv"
            size = pair.converter(boundary, "S" if into == "student" else "T").output_shape[-1]
            ends[name] = kept[last] if into == pruned else range(size)
        expected = masked_answer(join_groups(chain), {**kept, **ends}, x)
        # float32 sums with fewer terms, as in test_prune_exactness.
        assert relative_difference(answer(smaller, mix, x), expected) < 1e-4
        if pruned[0].upper() in mix:
            assert relative_difference(answer(pair, mix, x), expected) > 1e-2


def test_one_side_shrinks_and_the_other_is_the_same(pair: ModelPair) -> None:
    before = [weight.copy() for group in pair.student for weight in group.get_weights()]
    smaller = prune_pair(pair, schedules(pair, "student"))
    assert all(a is b for a, b in zip(smaller.teacher, pair.teacher, strict=True))
    assert [group.name for group in smaller.student] == [group.name for group in pair.student]
    for old, new in zip(pair.boundaries, smaller.boundaries, strict=True):
        assert new.student[:-1] == old.student[:-1]
        assert new.student[-1] < old.student[-1]
        assert new.teacher == old.teacher
    for old, new in zip(before, (w for g in pair.student for w in g.get_weights()), strict=True):
        np.testing.assert_array_equal(old, new)
    files = export_pair(smaller)
    assert set(files) >= {"g0.student", "b0.encoder", "b1.decoder", "g2.teacher"}


def test_converters_appear_where_widths_part(alike: ModelPair) -> None:
    assert alike.encoders == (None, None)
    smaller = prune_pair(alike, schedules(alike, "student"))
    for i, boundary in enumerate(smaller.boundaries):
        assert boundary.student[-1] < boundary.teacher[-1]
        x = example_inputs(smaller.student[i + 1], 2)
        decoded = smaller.decoders[i](x)
        np.testing.assert_array_equal(smaller.encoders[i](decoded), x)  # picking what was put back: no arithmetic
        back = np.asarray(smaller.decoders[i](smaller.encoders[i](decoded)))
        np.testing.assert_array_equal(back, decoded)
        assert (np.asarray(decoded).reshape(-1, boundary.teacher[-1]) == 0).all(axis=0).sum() == (
            boundary.teacher[-1] - boundary.student[-1]
        )


def test_the_teacher_never_comes_down_to_the_student(pair: ModelPair) -> None:
    smaller = prune_pair(pair, schedules(pair, "teacher", ratio=0.6))
    assert all(student < teacher for student, teacher in widths(smaller))
    assert all(converter is not None for converter in (*smaller.encoders, *smaller.decoders))


def test_a_teacher_without_converters_keeps_its_boundaries(alike: ModelPair) -> None:
    smaller = prune_pair(alike, schedules(alike, "teacher", ratio=0.3))
    assert widths(smaller) == widths(alike)
    assert smaller.encoders == (None, None)


def test_both_sides(pair: ModelPair, alike: ModelPair) -> None:
    smaller = prune_pair(pair, schedules(pair, "student", "teacher", ratio=0.4))
    assert all(student < teacher for student, teacher in widths(smaller))
    assert all(new[1] <= old[1] for new, old in zip(widths(smaller), widths(pair), strict=True))
    together = prune_pair(alike, schedules(alike, "student", "teacher", ratio=0.3))
    assert widths(together) == widths(alike)
    assert together.encoders == (None, None)


def test_steps_resume_from_what_was_saved(pair: ModelPair, tmp_path: Path) -> None:
    plans = schedules(pair, "student", "teacher", ratio=0.4, steps=2)

    def tune(made: ModelPair, step: int) -> None:
        for group in made.student:
            group.set_weights([weight * 1.25 for weight in group.get_weights()])
        save_pair(made, tmp_path / str(step))

    whole = prune_pair(pair, plans, tune=tune)
    resumed = prune_pair(load_pair(tmp_path / "0"), plans, tune=tune, done=1)
    x = images(pair)
    for mix in MIXES:
        np.testing.assert_array_equal(answer(whole, mix, x), answer(resumed, mix, x))


def test_wrong_use(pair: ModelPair) -> None:
    plans = schedules(pair, "student", steps=2)
    for call, message in (
        (lambda: prune_pair(pair, {}), "Received schedules for no side; expected student or teacher"),
        (lambda: prune_pair(pair, {"pupil": plans["student"]}), r"schedules for \['pupil'\]"),
        (lambda: prune_pair(pair, {**plans, **schedules(pair, "teacher")}), "the same number for both sides"),
        (lambda: prune_pair(pair, plans, done=3), "Received done=3"),
        (lambda: prune_pair(pair, plans, round_to=0), "Received round_to 0"),
    ):
        with pytest.raises(ModelError, match=message):
            call()
