from __future__ import annotations

import builtins
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tfpwl.errors import MissingDependencyError
from tfpwl.report import GateResult, render_html

EVIL = "</script><img src=x onerror=alert(1)>&\"'"


class Page(HTMLParser):
    """What a browser would make of a page: its tags, the text outside scripts, and the charts' data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.headings, self.text, self.charts = [], [], "", []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = (tag, dict(attributes).get("type"))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == ("script", "application/json"):
            self.charts.append(json.loads(data))
        elif self._inside is None or self._inside[0] not in ("script", "style"):
            self.text += data
            if self._inside is not None and self._inside[0] in ("h2", "h3", "summary"):
                self.headings.append(data)


def test_a_run_shows_everything_the_report_has(full):
    page = Page(render_html([full]))
    assert page.headings == [
        "Gates", "Path in order 1, 0", "All 4 mixes", "Precision ladder", "Pruning", "Fine-tuning on device data",
        "Sizes of the groups", "Summary", "Environment", "Configuration",
    ]  # fmt: skip
    for shown in ("loses 1.0 points, limit 0.3", "79.00 %", "276.0 kB", "1,800", "434.6 kB", "Some processor, 2 cores",
                  "tfpwl build tiny.yaml", "seed: 0", "A note.", "a gate failed"):  # fmt: skip
        assert shown in page.text
    assert len(page.charts) == 5  # the path against bytes and time, rungs, pruning, groups


def test_what_was_not_measured_has_no_chart_and_no_heading(report):
    bare = replace(report, gates=(), mixes=tuple(replace(r, latency_ms=None) for r in report.mixes))
    page = Page(render_html([bare]))
    assert page.headings == ["Path in order 1, 0", "All 4 mixes", "Summary"]
    assert len(page.charts) == 1


def test_several_runs_stand_side_by_side(full):
    page = Page(render_html([replace(full, tier=tier) for tier in ("low", "mid", "high")], title="Tiers"))
    assert page.headings[:2] == ["Gates", "Side by side"]
    assert [h for h in page.headings if h.startswith("tiny")] == ["tiny, low", "tiny, mid", "tiny, high"]
    points = page.charts[0]["layer"][0]["data"]["values"]
    assert {point["run"] for point in points} == {"tiny, low", "tiny, mid", "tiny, high"}
    assert len(points) == 9  # three mixes of each path


def test_runs_of_one_name_are_told_apart(full):
    page = Page(render_html([full, full]))
    assert [h for h in page.headings if h.startswith("tiny")] == ["tiny #1, mid", "tiny #2, mid"]


def test_names_from_a_pipeline_are_text_and_never_html(full):
    evil = replace(
        full, name=EVIL, tier=EVIL, command=EVIL, config={EVIL: EVIL}, environment={EVIL: EVIL}, notes=(EVIL,),
        choice=EVIL, gates=(GateResult(EVIL, False, EVIL),), rungs=tuple(replace(r, name=EVIL) for r in full.rungs),
        timings_s={EVIL: 1.0},
    )  # fmt: skip
    page = Page(render_html([evil, evil], title=EVIL))
    assert "img" not in {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count(EVIL) >= 10
    assert EVIL in json.dumps(page.charts).replace('\\"', '"')


def test_the_page_is_one_file_that_asks_for_nothing(full):
    page = Page(render_html([full]))
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action"} & set(attributes), tag
        assert attributes.get("href", "data:,") == "data:,"
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert not re.search(r"connect-src|https?:", policy)


def test_the_page_stays_below_a_megabyte(full):
    # 0.90 MB of it are Vega.
    assert len(render_html([full]).encode()) < 1_000_000


def test_equal_reports_give_equal_pages(full):
    assert render_html([full]) == render_html([full])


def test_no_report_is_refused():
    with pytest.raises(ValueError, match="Received no report"):
        render_html([])


def test_without_its_packages_the_message_says_what_to_install(full, monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "vl_convert":
            raise ImportError(name, name=name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"The page needs vl_convert: pip install 'tfpwl\[train\]'"):
        render_html([full])
