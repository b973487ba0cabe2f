from dataclasses import replace

import pytest

from tfpwl.mix import Mix
from tfpwl.report import BuildReport, MixRecord, SearchRecord, TrialRecord, markdown_table, render_html, search_sheet

GOOD = TrialRecord(1, {"student.widths": [4, 6], "prune.target.flops": 0.5}, "w8", 12_000, 350_000, 0.013, 0.9512, ())
LARGE = replace(
    GOOD, number=2, choices={"student.widths": [8, 12], "prune.target.flops": 0.2}, bundle_bytes=40_000, accuracy=None,
    misses=("40,000 bytes against 20,000 bytes",),
)  # fmt: skip
BROKEN = TrialRecord(
    3, {"student.widths": [5, 5], "prune.target.flops": 0.9}, None, None, None, None, None, ("90 % cannot be removed",)
)


@pytest.fixture
def search():
    return SearchRecord("low", (GOOD, LARGE, BROKEN), chosen=1)


def test_the_table_says_what_was_tried_what_it_costs_and_why_it_was_not_taken(search):
    table = markdown_table(search_sheet(search)).splitlines()
    assert table[0] == "**low: 3 trials, 1 of them trained; accuracy on the validation images**"
    assert table[2].startswith("| trial | student.widths | prune.target.flops | files | bytes |")
    assert table[4] == "| → 1 | [4, 6] | 0.5 | w8 | 12.0 kB | 350.0 kB | 0.013 ms | 95.12 % | keeps all |"
    assert table[5].endswith("| – | not trained: 40,000 bytes against 20,000 bytes |")
    assert table[6] == "| 3 | [5, 5] | 0.9 | – | – | – | – | – | not trained: 90 % cannot be removed |"


def test_a_trial_is_described_for_a_sentence():
    assert GOOD.described == "trial 1 (student.widths [4, 6], prune.target.flops 0.5)"


def test_the_page_shows_the_search_of_its_tier_and_of_no_other(search):
    records = tuple(MixRecord(Mix(mix), 100, 0.9, 0.1) for mix in "ST")
    low = BuildReport(name="tiny", num_groups=1, order=(0,), mixes=records, tier="low")
    high = replace(low, tier="high")
    page = render_html([low, high], searches={"low": search})
    assert page.count("<h3>Search: 3 trials, 1 of them trained") == 1
    assert "not trained: 40,000 bytes against 20,000 bytes" in page
    assert "Search:" not in render_html([high], searches={"low": search})
