"""The report as Markdown, for ``report.md`` and ``docs/results.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport
from tfpwl.report.rungs import BoundaryRecord, RungRecord
from tfpwl.report.tables import rung_header, rung_rows, summary_rows


def render_markdown(report: BuildReport, *, command: str | None = None, figure: str | None = None) -> str:
    """The whole report: summary, path, all mixes, gates.

    Args:
        report: what was measured.
        command: that made the figures, shown above them.
        figure: name of an image file beside the report, such as ``accuracy_path.png``.

    Example:
        >>> text = render_markdown(report, command="tfpwl build pipelines/digits_resnet.yaml")  # doctest: +SKIP
    """
    parts = [f"# {report.name}"]
    if command is not None:
        parts.append(f"Made by `{command}`.")
    parts.append(_table(("", ""), summary_rows(report)))
    if figure is not None:
        parts.append(f"![Accuracy against bytes loaded]({figure})")
    parts += [f"## Path in order {', '.join(map(str, report.order))}", _path(report)]
    if report.rungs:
        parts += ["## Precision ladder", _table(rung_header(report), rung_rows(report))]
        parts += ["### Accuracy of each rung", _rung_accuracy(report)]
        parts += ["### Features at the boundaries against the float ones", _boundaries(report.rungs)]
    if report.off_path:
        parts += [f"## All {len(report.mixes)} mixes, through the files", _mixes(report)]
    if report.gates:
        rows = [(gate.name, "passed" if gate.passed else "**failed**", gate.message) for gate in report.gates]
        parts += ["## Gates", _table(("gate", "", ""), rows)]
    return "\n\n".join(parts) + "\n"


def _path(report: BuildReport) -> str:
    rows = [
        (f"`{r.mix}`", units.percent(r.accuracy), units.points(step), units.byte_size(r.bytes),
         units.milliseconds(r.latency_ms))
        for r, step in zip(report.path, report.steps, strict=True)
    ]  # fmt: skip
    return _table(("mix", "accuracy", "step (points)", "files", "answer"), rows)


def _rung_accuracy(report: BuildReport) -> str:
    on_path = {record.mix for record in report.path}
    mixes = sorted(report.rungs[0].accuracy, key=lambda mix: (mix not in on_path, mix))
    rows = [
        (f"`{mix}`", "yes" if mix in on_path else "", *(units.percent(rung.accuracy.get(mix)) for rung in report.rungs))
        for mix in mixes
    ]
    return _table(("mix", "on the path", *(rung.name for rung in report.rungs)), rows)


def _boundaries(rungs: Sequence[RungRecord]) -> str:
    rounded = [rung for rung in rungs if any(one.snr_db is not None for one in rung.boundaries)]
    places = list(dict.fromkeys((one.boundary, one.side) for rung in rungs for one in rung.boundaries))
    found = {(rung.name, one.boundary, one.side): one for rung in rungs for one in rung.boundaries}
    rows = [
        (f"{boundary}, {side}", *(_error(found.get((rung.name, boundary, side))) for rung in rounded))
        for boundary, side in places
    ]
    return _table(("boundary", *(f"{rung.name} (SNR, cosine)" for rung in rounded)), rows)


def _error(one: BoundaryRecord | None) -> str:
    if one is None:
        return units.NOT_MEASURED
    return f"{'equal' if one.snr_db is None else f'{one.snr_db:.1f} dB'}, {one.cosine:.5f}"


def _mixes(report: BuildReport) -> str:
    on_path = {record.mix for record in report.path}
    rows = [
        (f"`{r.mix}`", units.percent(r.accuracy), "yes" if r.mix in on_path else "", units.byte_size(r.bytes),
         units.milliseconds(r.latency_ms))
        for r in sorted(report.mixes, key=lambda r: r.mix)
    ]  # fmt: skip
    return _table(("mix", "accuracy", "on the path", "files", "answer"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # The first column is words, the others are figures.
    rule = ["---", *("---:" for _ in header[1:])]
    lines = (header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
