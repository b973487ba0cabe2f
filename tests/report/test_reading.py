from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tfpwl.errors import DataError
from tfpwl.report import GroupSizes, read_reports


@pytest.fixture
def write(report, tmp_path):
    def _write(place, **changes):
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(replace(report, **changes).to_json())
        return folder

    return _write


def test_a_folder_and_its_file_give_the_same_report(write, report):
    folder = write("run")
    assert read_reports(folder) == read_reports(folder / "metrics.json") == (report,)


def test_a_run_with_tiers_gives_one_report_each_the_smallest_first(write, tmp_path):
    for tier, size in (("high", 900), ("low", 100), ("mid", 500)):
        write(f"run/reports/{tier}", tier=tier, groups=(GroupSizes(size, size),))
    artifact = tmp_path / "run" / "stages" / "distill-0123"
    artifact.mkdir(parents=True)
    (artifact / "metrics.json").write_text("{}")
    assert [report.tier for report in read_reports(tmp_path / "run")] == ["low", "mid", "high"]


def test_metrics_of_version_1_are_read(write, report):
    folder = write("run")
    data = json.loads((folder / "metrics.json").read_text())
    for key in ("groups", "environment", "config", "command", "tier", "pruning"):
        del data[key]
    (folder / "metrics.json").write_text(json.dumps({**data, "version": 1}))
    assert read_reports(folder) == (report,)


def test_a_folder_without_a_report_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no report in .*; expected the folder of a finished `tfpwl build`"):
        read_reports(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("teacher_accuracy", "good", r"metrics\.json: .* at \$\.teacher_accuracy: 'good' is not of type 'number'"),
        ("mixes", 3, "metrics.json: The metrics break their format"),
        ("kd_accuracy", float("nan"), "hold what JSON cannot hold"),
        ("order", ["a", 0], "metrics.json: The metrics break their format"),
        ("groups", [{"student": "1", "teacher": 2}], r"at \$\.groups\[0\]\.student"),
        ("environment", [1], r"at \$\.environment"),
    ],
)
def test_a_broken_report_says_where(write, key, value, message):
    path = write("run") / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DataError, match=message):
        read_reports(path)
