"""The tables of ``report.html``: cells with what is shown and what they are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport, MixRecord
from tfpwl.report.search import SearchRecord, search_header, trial_cells


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, what it is sorted by (the text where None), and a mark (``good``, ``bad`` or ``mix``)."""

    text: str
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """Cells by row; the first column is words, the others are figures unless ``words`` says otherwise."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[int, ...] = (0,)


def gates_table(reports: Sequence[BuildReport]) -> HtmlTable:
    """Every gate of every run, the failed ones first."""
    many = len(reports) > 1
    found = [(report.label, gate) for report in reports for gate in report.gates]
    rows = [
        (
            *([Cell(label)] if many else []),
            Cell(gate.name),
            Cell("passed" if gate.passed else "failed", float(gate.passed), "good" if gate.passed else "bad"),
            Cell(gate.message),
        )
        for label, gate in sorted(found, key=lambda pair: pair[1].passed)
    ]
    header = (*(["run"] if many else []), "gate", "result", "measured and allowed")
    return HtmlTable(header, tuple(rows), words=tuple(range(len(header))))


def runs_table(reports: Sequence[BuildReport]) -> HtmlTable:
    """The runs side by side: gates, accuracy, bytes and answer times of both ends of the path."""
    header = ("run", "gates", "precision", "student", "teacher", "worst step", "bundle", "student's answer",
              "teacher's answer")  # fmt: skip
    rows = []
    for report in reports:
        first, last = report.path[0], report.path[-1]
        failed = sum(not gate.passed for gate in report.gates)
        gates = Cell(f"{failed} failed" if failed else "passed", float(failed), "bad" if failed else "good")
        steps = [step for step in report.steps if step is not None]
        worst = min(steps, default=None)
        rows.append((
            Cell(report.label), gates, Cell(report.precision), _accuracy(first.accuracy), _accuracy(last.accuracy),
            Cell(units.points(worst), worst), _size(report.bundle_bytes), _time(first.latency_ms),
            _time(last.latency_ms),
        ))  # fmt: skip
    return HtmlTable(header, tuple(rows), words=(0, 1, 2))


def path_rows(report: BuildReport) -> HtmlTable:
    """The path, step by step."""
    rows = [
        (Cell(record.mix, mark="mix"), _accuracy(record.accuracy),
         Cell(units.points(step), step, "bad" if step is not None and round(step, 4) < 0 else ""),
         _size(record.bytes), _time(record.latency_ms))
        for record, step in zip(report.path, report.steps, strict=True)
    ]  # fmt: skip
    return HtmlTable(("mix", "accuracy", "step (points)", "files", "answer"), tuple(rows))


def mix_rows(report: BuildReport) -> HtmlTable:
    """Every measured mix."""
    on_path = {record.mix for record in report.path}

    def row(record: MixRecord) -> tuple[Cell, ...]:
        is_on = record.mix in on_path
        return (Cell(record.mix, mark="mix"), _accuracy(record.accuracy), Cell("yes" if is_on else "", float(is_on)),
                _size(record.bytes), _time(record.latency_ms))  # fmt: skip

    rows = tuple(row(record) for record in sorted(report.mixes, key=lambda record: record.mix))
    return HtmlTable(("mix", "accuracy", "on the path", "files", "answer"), rows)


def ladder_rows(report: BuildReport) -> HtmlTable:
    """The rungs of the precision ladder."""
    first, last = report.path[0].mix, report.path[-1].mix
    float_bytes = next((rung.bytes for rung in report.rungs if rung.name == "fp32"), None)
    rows = []
    for rung in report.rungs:
        share = None if float_bytes is None else rung.bytes / float_bytes
        role = "chosen" if rung.chosen else "tried" if rung.on_ladder else "compared"
        rows.append((
            Cell(rung.name, mark="good" if rung.chosen else ""), Cell(role), _size(rung.bytes),
            Cell(units.NOT_MEASURED if share is None else f"{share:.3f}", share),
            Cell(f"{rung.drop + 0.0:.2f} {rung.worst_mix}", rung.drop), _accuracy(rung.accuracy.get(first)),
            _accuracy(rung.accuracy.get(last)), _time(rung.latency_ms.get(first)), _time(rung.latency_ms.get(last)),
        ))  # fmt: skip
    header = ("rung", "", "files", "share of fp32", "worst loss", f"{first}", f"{last}", f"{first} answer",
              f"{last} answer")  # fmt: skip
    return HtmlTable(header, tuple(rows), words=(0, 1))


def pruning_rows(report: BuildReport) -> HtmlTable:
    """Sizes and accuracy before and after each step of pruning."""
    rows = tuple(
        (Cell(f"{record.side}, {record.step}"), _count(record.flops), _count(record.params),
         _accuracy(record.val_accuracy), _accuracy(record.test_accuracy))
        for record in sorted(report.pruning, key=lambda one: (one.side, one.step))
    )  # fmt: skip
    return HtmlTable(("side, step", "FLOPs", "parameters", "validation", "test"), rows)


def finetune_table(report: BuildReport) -> HtmlTable:
    """Accuracy of the mixes before and after they learned from device data."""
    rows = tuple(
        (Cell(one.mix), _accuracy(one.new_before), _accuracy(one.new_after), _accuracy(one.old_before),
         _accuracy(one.old_after))
        for one in report.finetuning
    )  # fmt: skip
    return HtmlTable(("mix", "device data before", "after", "own data before", "after"), rows)


def trial_rows(search: SearchRecord) -> HtmlTable:
    """The trials of a search."""
    rows = []
    for trial in search.trials:
        number, *choices, rung, _, _, _, _, verdict = trial_cells(trial, chosen=trial.number == search.chosen)
        mark = "good" if trial.was_trained and not trial.misses else ""
        rows.append((
            Cell(number, trial.number, "good" if trial.number == search.chosen else ""), *map(Cell, choices),
            Cell(rung), _size(trial.bundle_bytes), _size(trial.resident_bytes), _time(trial.latency_ms),
            _accuracy(trial.accuracy), Cell(verdict, mark=mark),
        ))  # fmt: skip
    header = search_header(search)
    return HtmlTable(header, tuple(rows), words=(0, len(header) - 1))


def group_rows(report: BuildReport) -> HtmlTable:
    """Bytes of each group's files."""
    rows = tuple(
        (Cell(f"group {index}", index), _size(group.student), _size(group.teacher), _size(group.encoder),
         _size(group.decoder), _size(group.total))
        for index, group in enumerate(report.groups)
    )  # fmt: skip
    return HtmlTable(("group", "student", "teacher", "encoder behind it", "decoder behind it", "together"), rows)


def _accuracy(fraction: float | None) -> Cell:
    return Cell(units.percent(fraction), fraction)


def _count(number: int | None) -> Cell:
    return Cell(units.NOT_MEASURED if number is None else f"{number:,}", number)


def _size(count: int | None) -> Cell:
    return Cell(units.NOT_MEASURED if count is None else units.byte_size(count), count)


def _time(value: float | None) -> Cell:
    return Cell(units.milliseconds(value), value)
