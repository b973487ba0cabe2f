from __future__ import annotations

import builtins
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tfpwl.errors import MissingDependencyError
from tfpwl.mix import Mix
from tfpwl.report import (
    BuildReport,
    GroupSizes,
    MixRecord,
    mixes_table,
    path_table,
    plot_accuracy_path,
    render_markdown,
    summary_table,
    units,
)

PNG_MARK = b"\x89PNG\r\n"


def lines_of(table) -> list[str]:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_path_table_shows_mix_accuracy_step_bytes_and_time(report):
    lines = lines_of(path_table(report))
    assert lines[0] == "tiny: path in order 1, 0"
    assert lines[2] == "mix accuracy step files answer"
    assert lines[4:7] == [
        "SS 80.00 % – 1.5 kB 0.200 ms",
        "ST 79.00 % -1.00 20.0 kB 0.400 ms",
        "TT 91.50 % +12.50 1.2 MB 12.3 ms",
    ]


def test_the_mixes_table_has_every_mix_the_most_accurate_last(report):
    assert [line.split()[0] for line in lines_of(mixes_table(report))[4:8]] == ["TS", "ST", "SS", "TT"]


def test_the_summary_tells_failed_gates(report):
    lines = lines_of(summary_table(report))
    assert "student 1,800 parameters, 80.00 %" in lines
    assert "teacher took 4 min 05 s" in lines
    assert "gate monotone FAILED loses 1.0 points, limit 0.3" in lines
    assert "gate size passed 1.2 MB, limit 2 MB" in lines


def test_markdown_begins_with_the_gates_and_has_all_mixes_and_the_command(report):
    text = render_markdown(replace(report, command="tfpwl build tiny.yaml", tier="mid"))
    assert text.startswith("# tiny, mid\n\n**1 of 2 gates failed.**\n\n| gate |")
    assert "| monotone | **failed** | loses 1.0 points, limit 0.3 |" in text
    assert "Made by `tfpwl build tiny.yaml`." in text
    assert "| `ST` | 79.00 % | -1.00 | 20.0 kB | 0.400 ms |" in text
    assert "| `TS` | 60.00 % |  | 11.0 kB | 0.410 ms |" in text


def test_long_tables_are_folded_so_that_a_comment_stays_short(report):
    text = render_markdown(replace(report, groups=(GroupSizes(900, 8_000, 500, None), GroupSizes(600, 12_000))))
    shown = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "| `TS` |" not in shown
    assert "| `ST` |" in shown
    # An empty line on both sides: else GitHub shows the table as text.
    assert "<details><summary>All 4 mixes, through the files</summary>\n\n| mix |" in text
    assert "| 0 | 900 B | 8.0 kB | 500 B | – |" in text


def test_what_was_not_measured_is_a_dash(report):
    bare = BuildReport(name="bare", num_groups=1, order=(0,), mixes=(MixRecord(Mix("S"), 5), MixRecord(Mix("T"), 7)))
    assert lines_of(path_table(bare))[4] == "S – – 5 B –"
    assert "All 2 mixes" not in render_markdown(bare)


def test_the_figure_is_written_and_equal_for_equal_reports(report, tmp_path):
    for name in ("a.png", "b.png"):
        plot_accuracy_path(tmp_path / name, report)
    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(PNG_MARK)
    assert (tmp_path / "b.png").read_bytes() == picture


def test_the_figure_changes_with_every_series(report, tmp_path):
    fewer = [
        report,
        replace(report, kd_accuracy=None),
        replace(report, teacher_accuracy=None),
        replace(report, mixes=(*report.mixes[:2], report.mixes[3])),
    ]
    for i, variant in enumerate(fewer):
        plot_accuracy_path(tmp_path / f"{i}.png", variant)
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(len(fewer))}) == len(fewer)


def test_without_matplotlib_the_message_says_what_to_install(report, tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tfpwl\[train\]'"):
        plot_accuracy_path(tmp_path / "a.png", report)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.percent(0.8756), "87.56 %"),
        (units.points(-0.00004), "+0.00"),
        (units.points(0.0123), "+1.23"),
        (units.byte_size(999), "999 B"),
        (units.byte_size(2_500_000_000), "2.5 GB"),
        (units.milliseconds(0.0314), "0.031 ms"),
        (units.milliseconds(3.14159), "3.14 ms"),
        (units.seconds(12.34), "12.3 s"),
        (units.seconds(245), "4 min 05 s"),
    ],
)
def test_figures_read_well(shown, expected):
    assert shown == expected
