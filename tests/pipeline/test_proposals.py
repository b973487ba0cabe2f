import builtins
import importlib
import sys

import pytest

from tfpwl.errors import MissingDependencyError

pytest.importorskip("optuna", reason="needs Optuna: pip install 'tfpwl[search]'")

from tfpwl.pipeline.proposals import BATCH, Proposals

SPACE = {"student.widths": ([2], [4], [6], [8], [10], [12], [14], [16]), "share": tuple(i / 20 for i in range(20))}


def search(seed, trials, space=SPACE):
    """The choices of a search for the widest student whose width and share keep a limit."""
    proposals, tried = Proposals(space, seed), []
    while len(tried) < trials and (batch := proposals.take(min(BATCH, trials - len(tried)))):
        for one in batch:
            width, share = one.choices["student.widths"][0], one.choices["share"]
            excess = width * (1 - share) / 6 - 1
            proposals.judge(one, None if excess > 0.1 else width / 16 - share / 4, excess=excess)
            tried.append((width, share))
    return tried


def test_the_same_seed_gives_the_same_proposals_and_another_gives_others():
    assert search(3, 20) == search(3, 20)
    assert search(3, 20) != search(4, 20)


def test_nothing_is_proposed_twice_and_a_small_space_is_tried_whole():
    space = {"student.widths": ([2], [4], [8]), "share": (0.1, 0.5)}
    tried = search(0, 50, space)
    assert sorted(tried) == [(width, share) for width in (2, 4, 8) for share in (0.1, 0.5)]


def test_it_looks_where_limits_are_kept():
    # At random 42 % of the proposals keep the limit; once it has seen some, most do.
    for seed in range(3):
        later = search(seed, 40)[20:]
        assert sum(width * (1 - share) <= 6 for width, share in later) >= 14


def test_proposals_carry_numbers_and_values():
    first, second = Proposals(SPACE, 0).take(2)
    assert (first.number, second.number) == (1, 2)
    assert first.choices["student.widths"] in SPACE["student.widths"]


def test_without_optuna_there_is_one_clear_error(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "tfpwl.pipeline.proposals")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"Optuna is not installed.*tfpwl\[search\]"):
        importlib.import_module("tfpwl.pipeline.proposals")
