from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from tfpwl.cli import run_view
from tfpwl.cli.bundle_data import BundleData
from tfpwl.cli.run_session import Answer, Classes, Schedule, Tally
from tfpwl.cli.run_view import BarView, LiveView, tally_table
from tfpwl.mix import Mix
from tfpwl.runtime import ProgressiveModel

CLASSES = Classes(("ant", "bee", "cat", "dog"), are_logits=False)


def _tally(labels):
    x = np.zeros((4, 6, 6, 1), np.uint8)
    tally = Tally(BundleData("test", x, None if labels is None else np.array(labels)), CLASSES)
    bee, cat = np.array([[0.1, 0.7, 0.1, 0.1]]), np.array([[0.1, 0.1, 0.6, 0.2]])
    for number, (mix, output) in enumerate([("SSS", bee), ("SSS", cat), ("TSS", cat), ("TSS", cat)]):
        tally.add(Answer(number, np.array([number]), Mix(mix), 1.0 + number, 10.0 * (number + 1), output))
    return tally


def _shown(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_table_has_accuracy_and_times_of_each_mix():
    rows = _shown(tally_table(_tally([1, 1, 2, 2])))[-2:]
    assert rows == ["SSS 9.00 ms 2 50.00 % 1.500 2.000", "TSS 27.0 ms 2 100.00 % 3.500 4.000"]


def test_table_has_the_last_answer_where_there_are_no_labels():
    rows = _shown(tally_table(_tally(None)))[-2:]
    assert rows == ["SSS 9.00 ms 2 cat 60.00 % 1.500 2.000", "TSS 27.0 ms 2 cat 60.00 % 3.500 4.000"]


def test_logits_become_probabilities():
    top = Classes(("ant", "bee"), are_logits=True).top(np.array([0.0, np.log(3.0)], np.float32), 2)
    assert [name for name, _ in top] == ["bee", "ant"]
    np.testing.assert_allclose([p for _, p in top], [0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("labels", [None, [1, 1, 2, 0]])
def test_live_view_shows_mix_state_and_last_answer(root, labels, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with ProgressiveModel.open(root) as model, LiveView(console, model, Schedule(40, {}, 0.0)) as view:
        view.update(_tally(labels))
    text = console.file.getvalue()
    assert "tiny  SSS  ready" in text
    assert "0 of 3 groups" in text
    last = "image 3: cat 60.00 %" if labels is None else "cat 60.00 % ✗ it is ant"
    assert f"answer 4 of 40, 3.500 ms: {last}" in text


def test_bar_shows_only_in_a_run_that_takes_long(root, monkeypatch):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with ProgressiveModel.open(root) as model:
        with BarView(console, model, Schedule(40, {}, 0.0)) as view:
            view.update(_tally([1, 1, 2, 2]))
        assert console.file.getvalue() == ""
        monkeypatch.setattr(run_view, "_BAR_AFTER_S", -10.0)
        with BarView(console, model, Schedule(40, {}, 0.0)) as view:
            view.update(_tally([1, 1, 2, 2]))
    assert "answering  TSS  3.500 ms  100.00 % right" in console.file.getvalue()
