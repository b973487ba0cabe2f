"""Some hundred of the cases of ``python -m tests.fuzz.bundles``, in this process; a finding names its seed."""

from __future__ import annotations

from collections import Counter

from fuzz.bundles import Sound, run_case

COUNT = 300


def test_no_damage_leads_to_anything_but_an_error_or_the_right_answer(tiny_files, tmp_path):
    sound = Sound(tiny_files, tmp_path)
    outcomes = Counter(run_case(seed, sound, tmp_path / "case") for seed in range(COUNT))
    assert sum(outcomes.values()) == COUNT
    # The cases must reach all three places where damage is met, or they would show nothing.
    refused = sum(n for outcome, n in outcomes.items() if outcome.startswith("refused"))
    stopped = sum(n for outcome, n in outcomes.items() if "stopped" in outcome)
    assert refused > COUNT / 4
    assert stopped > COUNT / 20
    assert outcomes["opened, complete"] > 0
