from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from tfpwl.mix import Mix
from tfpwl.report import BuildReport, GateResult, MixRecord, render_junit


def suites(*reports):
    return ElementTree.fromstring(render_junit(reports).encode())


def test_one_case_per_gate_and_the_failure_has_the_message(report):
    found = suites(report)
    assert [found.get(key) for key in ("tests", "failures", "errors")] == ["2", "1", "0"]
    cases = {case.get("name"): case for case in found.iter("testcase")}
    assert set(cases) == {"monotone", "size"}
    assert cases["monotone"].find("failure").get("message") == "loses 1.0 points, limit 0.3"
    assert cases["monotone"].find("failure").text == "loses 1.0 points, limit 0.3"
    assert cases["size"].find("failure") is None


def test_tiers_are_suites_whose_cases_can_be_told_apart(report):
    found = suites(replace(report, tier="low"), replace(report, tier="high"))
    assert [suite.get("name") for suite in found.iter("testsuite")] == ["tiny, low", "tiny, high"]
    cases = [(case.get("classname"), case.get("name")) for case in found.iter("testcase")]
    assert len(set(cases)) == len(cases) == 4
    assert found.get("tests") == "4"


def test_no_gates_are_an_empty_suite(report):
    assert suites(replace(report, gates=())).get("tests") == "0"


@given(name=st.text(), message=st.text())
def test_any_text_gives_xml_that_can_be_read(name, message):
    report = BuildReport(
        name=name, num_groups=1, order=(0,), mixes=(MixRecord(Mix("S"), 1), MixRecord(Mix("T"), 2)),
        gates=(GateResult(name, False, message),),
    )  # fmt: skip
    (case,) = suites(report).iter("testcase")
    # A parser of XML turns every line end and tab of an attribute into one; the rest of the printable text is kept.
    if message.isprintable():
        assert case.find("failure").text == (message or None)
