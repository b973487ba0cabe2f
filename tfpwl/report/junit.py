"""Quality gates as JUnit XML, which every CI system shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from tfpwl.report.build_report import BuildReport

# What XML 1.0 cannot hold, not even escaped.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(reports: Sequence[BuildReport]) -> str:
    """One test suite per report, one test case per gate; a failed gate's message is its failure.

    Args:
        reports: of one build, or of its tiers.

    Example:
        >>> text = render_junit([report])                                          # doctest: +SKIP
        >>> text.splitlines()[1]                                                   # doctest: +SKIP
        '<testsuites name="tfpwl" tests="3" failures="0" errors="0">'
    """
    suites = ElementTree.Element("testsuites", {"name": "tfpwl", **_counts(reports)})
    for report in reports:
        suite = ElementTree.SubElement(suites, "testsuite", {"name": _clean(report.label), **_counts([report])})
        for gate in report.gates:
            # GitLab and Jenkins tell cases apart by class and name.
            names = {"classname": _clean(f"tfpwl.{report.label}"), "name": _clean(gate.name)}
            case = ElementTree.SubElement(suite, "testcase", names)
            if not gate.passed:
                failure = ElementTree.SubElement(case, "failure", {"message": _clean(gate.message), "type": "gate"})
                failure.text = _clean(gate.message)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _counts(reports: Sequence[BuildReport]) -> dict[str, str]:
    gates = [gate for report in reports for gate in report.gates]
    failures = sum(not gate.passed for gate in gates)
    return {"tests": str(len(gates)), "failures": str(failures), "errors": "0"}


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
