import io

from rich.console import Console

from tfpwl.report import TierRecord, markdown_table, rich_table, tiers_sheet

LOW = TierRecord("low", "int8", 100_000, 300_000, 0.9, 0.95, 0.05, 0.1, False)
HIGH = TierRecord("high", "fp32", 1_000_000, 3_000_000, 0.91, 0.985, 0.06, 0.4, True)


def test_a_tier_shows_its_share_of_the_best_one():
    lines = markdown_table(tiers_sheet("digits", (LOW, HIGH))).splitlines()
    assert lines[0] == "**digits: 2 tiers, from all-student to all-teacher**"
    assert lines[4] == ("| low | int8 | 100.0 kB | 0.10 | 300.0 kB | 90.00 → 95.00 | 0.050 → 0.100 | 0.25 | not met |")
    assert lines[5].count("| 1.00 |") == 2


def test_eighty_letters_are_enough_on_a_terminal():
    out = io.StringIO()
    Console(file=out, width=80).print(rich_table(tiers_sheet("digits", (LOW, HIGH), shares=False)))
    assert "…" not in out.getvalue()
    assert "90.00 → 95.00 " in out.getvalue()
    assert "not met" in out.getvalue()
