"""Tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport, MixRecord

# The columns of the ladder for which 80 letters are enough; report.md has all.
_ON_TERMINAL = (0, 1, 2, 3, 4, 6)


def path_table(report: BuildReport) -> Table:
    """The path as a table: mix, accuracy, change to the step before, bytes, milliseconds per answer.

    Example:
        >>> from rich.console import Console
        >>> Console().print(path_table(report))                                    # doctest: +SKIP
    """
    table = _table(f"{report.name}: path in order {', '.join(map(str, report.order))}", with_step=True)
    for record, step in zip(report.path, report.steps, strict=True):
        table.add_row(_mix(record), units.percent(record.accuracy), _step(step), *_costs(record))
    return table


def mixes_table(report: BuildReport) -> Table:
    """Every measured mix, those of the path in bold, most accurate last."""
    table = _table(f"{report.name}: {len(report.mixes)} mixes", with_step=False)
    on_path = {record.mix for record in report.path}
    for record in sorted(report.mixes, key=lambda r: (r.accuracy is not None, r.accuracy or 0.0, r.mix)):
        style = "bold" if record.mix in on_path else "dim"
        table.add_row(_mix(record), units.percent(record.accuracy), *_costs(record), style=style)
    return table


def rungs_table(report: BuildReport) -> Table:
    """The precision ladder: bytes, worst loss on the path, milliseconds per answer; the chosen rung in bold."""
    table = Table(title=f"{report.name}: precision ladder", box=box.SIMPLE_HEAD, title_justify="left")
    header = rung_header(report)
    for index in _ON_TERMINAL:
        table.add_column(header[index], justify="right" if index else "left", no_wrap=True)
    for rung, row in zip(report.rungs, rung_rows(report), strict=True):
        table.add_row(*(row[index] for index in _ON_TERMINAL), style="bold" if rung.chosen else "dim")
    return table


def rung_header(report: BuildReport) -> tuple[str, ...]:
    """The columns of :func:`rung_rows`: median and 90th percentile of both ends of the path, the chosen rung with →."""
    first, last = report.path[0].mix, report.path[-1].mix
    return ("rung", "files", "share", "worst loss", f"{first}", "90 %", f"{last}", "90 %")


def rung_rows(report: BuildReport) -> list[tuple[str, ...]]:
    """One row of text per rung: name, bytes, share of the float files' bytes, points lost at most, times per answer."""
    float_bytes = next((rung.bytes for rung in report.rungs if rung.name == "fp32"), None)
    first, last = str(report.path[0].mix), str(report.path[-1].mix)
    rows = []
    for rung in report.rungs:
        share = units.NOT_MEASURED if float_bytes is None else f"{rung.bytes / float_bytes:.3f}"
        loss = f"{rung.drop + 0.0:.2f} {rung.worst_mix}"
        figures = (rung.latency_ms, rung.latency_p90_ms)
        times = [units.milliseconds(taken.get(mix)) for mix in (first, last) for taken in figures]
        name = f"{'→ ' if rung.chosen else ''}{rung.name}{'' if rung.on_ladder else ' (compared)'}"
        rows.append((name, units.byte_size(rung.bytes), share, loss, *times))
    return rows


def summary_table(report: BuildReport) -> Table:
    """What the build took and how its gates went."""
    table = Table(title=report.name, box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column()
    for what, value in summary_rows(report):
        table.add_row(what, value)
    for gate in report.gates:
        verdict = Text("passed", style="green") if gate.passed else Text("FAILED", style="bold red")
        table.add_row(f"gate {gate.name}", Text.assemble(verdict, f"  {gate.message}"))
    return table


def summary_rows(report: BuildReport) -> list[tuple[str, str]]:
    """The figures that stand beside the table of mixes, as (what, value); only those that were measured."""
    rows = [("student", _side(report.student_params, report.path[0].accuracy))]
    if report.kd_accuracy is not None:
        rows.append(("student by plain distillation", units.percent(report.kd_accuracy)))
    rows.append(("teacher", _side(report.teacher_params, report.teacher_accuracy)))
    if report.teacher_difference is not None:
        rows.append(("teacher's groups against one piece", f"largest difference {report.teacher_difference:.1e}"))
    if report.choice is not None:
        rows.append(("precision", f"{report.precision}. {report.choice}"))
    rows.extend(("note", note) for note in report.notes)
    if report.num_test_images is not None:
        rows.append(("test images", f"{report.num_test_images:,}"))
    if report.images_per_s is not None:
        rows.append(("distillation", f"{report.images_per_s:.0f} images/s"))
    rows.extend((f"{stage} took", units.seconds(taken)) for stage, taken in report.timings_s.items())
    return rows


def _side(params: int | None, accuracy: float | None) -> str:
    shown = [] if params is None else [f"{params:,} parameters"]
    return ", ".join([*shown, units.percent(accuracy)])


def _table(title: str, *, with_step: bool) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("mix")
    table.add_column("accuracy", justify="right")
    if with_step:
        table.add_column("step", justify="right")
    table.add_column("files", justify="right")
    table.add_column("answer", justify="right")
    return table


def _mix(record: MixRecord) -> Text:
    return Text.assemble(*((side, "green" if side == "T" else "cyan") for side in record.mix))


def _step(step: float | None) -> Text:
    return Text(units.points(step), style="red" if step is not None and round(step, 3) < 0 else "")


def _costs(record: MixRecord) -> tuple[str, str]:
    return units.byte_size(record.bytes), units.milliseconds(record.latency_ms)
