"""The report as Markdown, for ``report.md`` and ``docs/results.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport
from tfpwl.report.finetuning import finetune_header, finetune_rows
from tfpwl.report.pruning import prune_header, prune_rows
from tfpwl.report.rungs import BoundaryRecord, RungRecord
from tfpwl.report.tables import rung_header, rung_rows, summary_rows


def render_markdown(report: BuildReport) -> str:
    """The whole report, as short as a comment on a pull request should be: gates first, long tables folded.

    Args:
        report: what was measured.

    Example:
        >>> Path("report.md").write_text(render_markdown(report))                  # doctest: +SKIP
    """
    parts = [f"# {report.label}", *_gates(report)]
    if report.command is not None:
        parts.append(f"Made by `{report.command}`.")
    parts += [f"## Path in order {', '.join(map(str, report.order))}", _path(report)]
    parts += ["## Summary", _table(("", ""), summary_rows(report))]
    if report.pruning:
        parts += ["## Pruning", _table(prune_header(), prune_rows(report.pruning))]
    if report.finetuning:
        parts += ["## Fine-tuning on device data", _table(finetune_header(), finetune_rows(report.finetuning))]
    if report.rungs:
        parts += ["## Precision ladder", _table(rung_header(report), rung_rows(report))]
        parts.append(_folded("Accuracy of each rung", _rung_accuracy(report)))
        parts.append(_folded("Features at the boundaries against the float ones", _boundaries(report.rungs)))
    if report.off_path:
        parts.append(_folded(f"All {len(report.mixes)} mixes, through the files", _mixes(report)))
    if report.groups:
        parts.append(_folded("Sizes of the groups", _groups(report)))
    if report.environment:
        parts.append(_folded("Environment", _table(("", ""), list(report.environment.items()))))
    return "\n\n".join(parts) + "\n"


def _gates(report: BuildReport) -> list[str]:
    if not report.gates:
        return []
    failed = sum(not gate.passed for gate in report.gates)
    verdict = (
        f"**{failed} of {len(report.gates)} gates failed.**" if failed else f"All {len(report.gates)} gates passed."
    )
    rows = [(gate.name, "passed" if gate.passed else "**failed**", gate.message) for gate in report.gates]
    return [verdict, _table(("gate", "", ""), rows)]


def _folded(title: str, table: str) -> str:
    # GitHub and GitLab read Markdown inside HTML only after an empty line.
    return f"<details><summary>{title}</summary>\n\n{table}\n\n</details>"


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


def _groups(report: BuildReport) -> str:
    rows = [
        (str(index), *(units.NOT_MEASURED if count is None else units.byte_size(count) for count in counts))
        for index, group in enumerate(report.groups)
        for counts in [(group.student, group.teacher, group.encoder, group.decoder)]
    ]
    return _table(("group", "student", "teacher", "encoder behind it", "decoder behind it"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # The first column is words, the others are figures.
    rule = ["---", *("---:" for _ in header[1:])]
    lines = (header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
