from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.errors import DataError
from tfpwl.mix import Mix, all_mixes
from tfpwl.report import BuildReport, MixRecord

FRACTIONS = st.none() | st.floats(0, 1)


@st.composite
def reports(draw) -> BuildReport:
    num_groups = draw(st.integers(1, 4))
    records = tuple(
        MixRecord(mix, draw(st.integers(0, 2**40)), draw(FRACTIONS), draw(st.none() | st.floats(0, 1e6)))
        for mix in all_mixes(num_groups)
    )
    return BuildReport(
        name=draw(st.text()),
        num_groups=num_groups,
        order=tuple(draw(st.permutations(range(num_groups)))),
        mixes=records,
        teacher_accuracy=draw(FRACTIONS),
        timings_s=draw(st.dictionaries(st.text(), st.floats(0, 1e6))),
    )


@given(reports())
def test_what_is_written_is_read_back_equal(report):
    assert BuildReport.from_json(report.to_json()) == report


@given(reports())
def test_steps_add_up_to_the_gain_of_the_whole_path(report):
    path = report.path
    if all(record.accuracy is not None for record in path):
        # Sums of a few float64 differences of numbers up to 1.
        assert sum(report.steps[1:]) == pytest.approx(path[-1].accuracy - path[0].accuracy, abs=1e-12)


def test_the_path_follows_the_order(report):
    assert [r.mix for r in report.path] == ["SS", "ST", "TT"]
    assert [r.mix for r in report.off_path] == ["TS"]
    assert report.steps == (None, pytest.approx(-0.01), pytest.approx(0.125))


def test_one_failed_gate_fails_the_report(report):
    assert not report.passed
    assert replace(report, gates=report.gates[1:]).passed


def test_equal_reports_are_equal_bytes(report):
    other = replace(report, timings_s=dict(reversed(list(report.timings_s.items()))))
    assert other.to_json() == report.to_json()
    assert list(json.loads(report.to_json())) == sorted(json.loads(report.to_json()))


def test_a_missing_mix_of_the_path_is_named(report):
    with pytest.raises(ValueError, match=r"The mixes \['ST'\] of the path are missing"):
        replace(report, mixes=(report.mixes[0], report.mixes[3]))


def test_a_mix_of_another_length_is_named(report):
    with pytest.raises(ValueError, match=r"Received the mixes \['TTT'\].* for 2 groups"):
        replace(report, mixes=(*report.mixes, MixRecord(Mix("TTT"), 1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "The metrics are not JSON"),
        ("[]", r"format None; expected 'tfpwl-metrics', version 1 or 2"),
        ('{"format": "tfpwl-metrics", "version": 3}', r"format \('tfpwl-metrics', 3\); expected"),
        ('{"format": "tfpwl-metrics", "version": 1}', "The metrics break their format: 'order'"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        BuildReport.from_json(text)


def test_an_unknown_key_is_refused(report):
    fields = {**json.loads(report.to_json()), "speed": 1}
    with pytest.raises(DataError, match="speed"):
        BuildReport.from_json(json.dumps(fields))
