from __future__ import annotations

from dataclasses import replace

import pytest

from tfpwl.bench import results
from tfpwl.bench.demands import check_demands, ladder_demands
from tfpwl.bench.ladder import LadderResult, LadderStep
from tfpwl.bench.results import BenchResult, Machine, StartResult, SteadyResult, UpgradeResult
from tfpwl.bench.rounds import RoundsResult
from tfpwl.bench.upgrade import CrowdResult, TimedAnswer, UpgradeTrace
from tfpwl.errors import DataError


def start(name, total, *, cold=False):
    return StartResult(name, cold, (total - 1, total - 1, total + 9), (1, 1, 1), (80, 80, 80), 1, 1, 1, 0.0)


def steady(name, *medians):
    return SteadyResult(name, medians, medians[0], medians[0], medians[0], 100)


def upgrade(*worst):
    return UpgradeResult(False, worst, worst, worst, worst, 100, 0, {"SS": 1.0, "TS": 2.0, "TT": 4.0}, ())


@pytest.fixture
def sound() -> BenchResult:
    """Everything measured, everything as demanded."""
    starts = [
        start(name, total, cold=cold)
        for cold, extra in ((False, 0), (True, 20))
        for name, total in (
            (results.BUNDLE, 10 + extra), (results.STUDENT, 9 + extra), (results.TEACHER, 100 + extra),
            (results.TEACHER_CACHED, 80 + extra),
        )
    ]  # fmt: skip
    return BenchResult(
        bundle="b",
        name="tiny",
        precision="fp32",
        engine="litert",
        threads=1,
        student_bytes=1,
        teacher_bytes=9,
        path=(("SS", 0.5), ("TS", 0.6), ("TT", None)),
        repeats=20,
        machine=Machine("cpu", 2, 1, "os", "3.11", "2.3.0", 0.1, 0.0),
        starts=tuple(starts),
        steady=(
            steady(results.TEACHER_CHAIN, 10.2, 10.1), steady(results.TEACHER, 10.0, 10.0),
            steady(results.STUDENT_CHAIN, 1.04, 1.04), steady(results.STUDENT, 1.0, 1.0),
        ),
        upgrades=(upgrade(*[1.5] * 20),),
        crowd=CrowdResult(8, 20, 1000, 0, 0),
        rounds=RoundsResult(1000, 12.5, (1, 2), 0, 0),
        differences={"a / b": 0.0},
        notes=("quiet",),
    )  # fmt: skip


def missed(result, **options):
    return [demand.name for demand in check_demands(result, **options) if not demand.met]


def test_all_demands_are_checked_and_met(sound):
    demands = check_demands(sound)
    assert [d.name for d in demands if not d.met] == []
    assert len(demands) == 11


def test_start_is_judged_by_create_and_first_answer_together(sound):
    # 10 / 9 of the student, 10 / 100 of the teacher.
    assert missed(sound, of_teacher=0.1) == ["create + first answer, cold: bundle / teacher, one piece"]
    slow = replace(sound, starts=(start(results.BUNDLE, 11.8), *sound.starts[1:]))
    assert missed(slow) == ["create + first answer, warm: bundle / student, one piece"]


def test_the_cached_teacher_counts_only_cold_and_must_be_beaten(sound):
    cached = [start(results.TEACHER_CACHED, 30, cold=True), start(results.TEACHER_CACHED, 1)]
    result = replace(sound, starts=(*(s for s in sound.starts if s.name != results.TEACHER_CACHED), *cached))
    assert missed(result) == ["create + first answer, cold: bundle / teacher, one piece, warm XNNPACK cache"]


def test_chains_are_compared_process_by_process(sound):
    # 1.5 and 1.0 times as long: medians over processes of the ratios, not ratio of the medians.
    chains = (steady(results.TEACHER_CHAIN, 15.0, 1.0, 10.0), steady(results.TEACHER, 10.0, 1.0, 9.0))
    result = replace(sound, steady=chains)
    found = next(d for d in check_demands(result) if d.name.startswith("one answer"))
    assert found.value == pytest.approx(10 / 9)
    assert not found.met


def test_the_worst_of_all_upgrades_counts_and_twenty_are_needed(sound):
    name = "worst answer during {} upgrades / steady median of the slower mix"
    assert missed(replace(sound, upgrades=(upgrade(*[1.0] * 19, 2.1),))) == [name.format(20)]
    assert missed(replace(sound, upgrades=(upgrade(*[1.0] * 19),))) == [name.format(19)]
    assert missed(replace(sound, upgrades=(upgrade(*[1.0] * 10), upgrade(*[1.0] * 10)))) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"crowd": CrowdResult(8, 20, 1000, 0, 1)}, "8 threads, 1,000 answers: lost or wrong"),
        ({"crowd": CrowdResult(8, 20, 1000, 1, 0)}, "8 threads, 1,000 answers: lost or wrong"),
        ({"rounds": RoundsResult(999, 1001.0, (), 0, 0)}, "memory over 999 upgrades and downgrades: growth per round"),
        ({"rounds": RoundsResult(9, 0.0, (), 0, 0)}, "memory over 9 upgrades and downgrades: growth per round"),
        ({"rounds": RoundsResult(999, 0.0, (), 1, 0)}, "files and threads left afterwards"),
        ({"rounds": RoundsResult(999, 0.0, (), 0, 2)}, "files and threads left afterwards"),
    ],
)
def test_each_kind_of_harm_misses_its_demand(sound, change, name):
    assert missed(replace(sound, **change)) == [name]


def test_what_was_not_measured_is_not_judged(sound):
    bare = replace(sound, starts=sound.starts[:1], steady=(), upgrades=(), crowd=None, rounds=None)
    assert check_demands(bare) == ()


def test_ladder_is_judged_cut_by_cut():
    steps = (LadderStep(4, 2.0, (10.0, 29.0, 31.0)), LadderStep(8, 2.0, (31.0, 31.0)))
    demands = ladder_demands(LadderResult("ladder", "litert", 1.9, steps))
    assert [demand.met for demand in demands] == [True, False]


def test_results_survive_json(sound):
    full = replace(sound, upgrades=(replace(sound.upgrades[0], example=(TimedAnswer(0.0, 1.0, "SS", "TS"),)),))
    assert BenchResult.from_json(full.to_json()) == full
    with pytest.raises(DataError, match="no result of `tfpwl bench --json`"):
        BenchResult.from_json('{"format": "tfpwl-bench", "version": 99}')
    with pytest.raises(DataError, match="no result"):
        BenchResult.from_json("[]")


def test_an_answer_is_measured_against_the_slower_mix_of_its_step():
    trace = UpgradeTrace(
        answers=(
            TimedAnswer(0, 50, "SS", "SS"),  # the first one; its time is the start's business
            TimedAnswer(50, 3, "SS", "SS"),  # step SS -> TS: TS takes 2
            TimedAnswer(60, 6, "TS", "TT"),  # step TS -> TT: TT takes 4
            TimedAnswer(70, 5, "TT", "TT"),  # after the last swap: still that step
        ),
        first_answer_ms=50,
        full_teacher_ms=66,
        steady_ms={"SS": 1.0, "TS": 2.0, "TT": 4.0},
        steady_worst_ms={"SS": 1.5, "TS": 2.0, "TT": 4.0},
    )
    assert [ratio for ratio, _ in trace.ratios()] == [1.5, 1.5, 1.25]
    result = UpgradeResult.of([trace, trace], cold=True, over=1.4)
    assert result.worst_ratios == (1.5, 1.5)
    assert result.worst_ms == (6, 6)
    assert result.idle_worst_ratios == (1.5, 1.5)
    assert (result.num_answers, result.num_over) == (6, 4)


def test_a_faster_teacher_mix_is_measured_against_the_slower_one_before_it():
    trace = UpgradeTrace((TimedAnswer(0, 1, "S", "S"), TimedAnswer(1, 9, "T", "T")), 1, 1, {"S": 6.0, "T": 3.0}, {})
    assert [ratio for ratio, _ in trace.ratios()] == [1.5]
