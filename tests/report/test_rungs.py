from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from tfpwl.report import BoundaryRecord, BuildReport, RungRecord, render_markdown, rungs_table, summary_table


def rung(name, size, drop, *, chosen=False, on_ladder=True, snr_db=30.0):
    times = {"SS": 0.1, "TT": 0.4}
    return RungRecord(
        name=name, precision=name.split("-")[0], method="qat" if "-" in name else "calibration", chosen=chosen,
        on_ladder=on_ladder, bytes=size, drop=drop, worst_mix="ST", accuracy={"SS": 0.8, "ST": 0.79, "TT": 0.9},
        latency_ms=times, latency_p90_ms={mix: 2 * ms for mix, ms in times.items()}, teacher_difference=0.0,
        boundaries=(BoundaryRecord(0, "student", snr_db, 0.99951), BoundaryRecord(0, "teacher", snr_db, 0.999)),
    )  # fmt: skip


@pytest.fixture
def with_ladder(report):
    return replace(
        report, precision="int8", choice="int8 is the fastest.", notes=("There is no int8 by qat: why",),
        rungs=(rung("fp32", 1_000_000, 0.0, on_ladder=False, snr_db=None), rung("int8", 276_000, 0.05, chosen=True)),
    )  # fmt: skip


def test_the_ladder_survives_json(with_ladder):
    assert BuildReport.from_json(with_ladder.to_json()) == with_ladder


def test_metrics_from_before_there_were_ladders_are_read(report):
    text = report.to_json()
    for field in ("rungs", "precision", "choice", "notes"):
        text = "\n".join(line for line in text.splitlines() if not line.startswith(f' "{field}"'))
    assert BuildReport.from_json(text) == report


def test_markdown_has_a_line_per_rung_mix_and_boundary(with_ladder):
    text = render_markdown(with_ladder)
    assert "| → int8 | 276.0 kB | 0.276 | 0.05 ST | 0.100 ms | 0.200 ms | 0.400 ms | 0.800 ms |" in text
    assert "| fp32 (compared) | 1.0 MB | 1.000 | 0.00 ST |" in text
    assert "| `ST` | yes | 79.00 % | 79.00 % |" in text
    assert "| 0, student | 30.0 dB, 0.99951 |" in text
    assert "| precision | int8. int8 is the fastest. |" in text
    assert "| note | There is no int8 by qat: why |" in text


def test_without_a_ladder_there_is_no_word_of_it(report):
    assert "adder" not in render_markdown(report)
    assert "precision" not in render_markdown(report)


def test_the_table_fits_on_80_columns(with_ladder):
    console = Console(width=80, record=True)
    console.print(rungs_table(with_ladder), summary_table(with_ladder))
    text = console.export_text()
    assert "→ int8" in text
    assert "0.400 ms" in text
    assert "…" not in text.split("tiny\n")[0]
