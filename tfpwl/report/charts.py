"""The charts of ``report.html`` as Vega-Lite specifications, without colours: the page adds those of its theme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from tfpwl.report import units
from tfpwl.report.build_report import BuildReport, MixRecord
from tfpwl.report.search import SearchRecord

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_BYTES_AXIS = {"labelExpr": "format(datum.value, '.3~s') + 'B'", "tickCount": 5, "labelFlush": True}
_MIX_TOOLTIP = ("run", "mix", "accuracy", "files", "answer")

Spec = dict[str, Any]
Cost = Literal["bytes", "latency"]


def path_chart(reports: Sequence[BuildReport], cost: Cost = "bytes") -> Spec | None:
    """Accuracy of the path against what it costs: a line per run; of a single run all other mixes, too.

    Args:
        reports: the runs, each with a label of its own.
        cost: of the files, or of one answer.

    Returns:
        The chart; None where no mix has both figures.
    """
    lines = [list(_points(report, report.path, cost)) for report in reports]
    if not any(lines):
        return None
    alone = len(reports) == 1
    colour: Spec = {"field": "run", "type": "nominal", "legend": None if alone else {"title": None}}
    path: Spec = {
        "data": {"values": list(chain.from_iterable(lines))},
        "encoding": {**_axes(cost), "color": colour, "order": {"field": "step"}},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2}},
            # Invisible and larger than the dots, so that a finger meets them.
            {"mark": {"type": "point", "filled": True, "size": 350, "opacity": 0}, **_tooltip(*_MIX_TOOLTIP)},
            {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1}, **_tooltip(*_MIX_TOOLTIP)},
        ],
    }
    if not alone:
        return _chart([path], height=300)
    # Below the dots, so that no name lies between a dot and the pointer.
    text = {"type": "text", "dy": -11, "font": "monospace", "fontSize": 11}
    path["layer"].insert(1, {"mark": text, "encoding": {"text": {"field": "mix"}}})
    return _chart([_others(reports[0], cost), *_teacher(reports[0], cost), path, *_kd(reports[0], cost)], height=300)


def ladder_chart(report: BuildReport) -> Spec:
    """Bytes of each rung of the precision ladder; the chosen one stands out."""
    first, last = report.path[0].mix, report.path[-1].mix
    values = [
        {
            "rung": rung.name, "bytes": rung.bytes, "chosen": rung.chosen, "files": units.byte_size(rung.bytes),
            "worst loss": f"{rung.drop + 0.0:.2f} points on {rung.worst_mix}",
            "answer": f"{units.milliseconds(rung.latency_ms.get(first))} {first}, "
                      f"{units.milliseconds(rung.latency_ms.get(last))} {last}",
        }
        for rung in report.rungs
    ]  # fmt: skip
    encoding = {
        "y": {"field": "rung", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 120}},
        "x": {"field": "bytes", "type": "quantitative", "title": "bytes of all files", "axis": _BYTES_AXIS},
        "opacity": {"condition": {"test": "datum.chosen", "value": 1}, "value": 0.45},
        **_tooltip("rung", "files", "worst loss", "answer")["encoding"],
    }
    return _chart(
        [{"data": {"values": values}, "mark": {"type": "bar"}, "encoding": encoding}], height=30 * len(values)
    )


def pruning_chart(report: BuildReport) -> Spec:
    """Accuracy of each pruned side against the parameters it has left."""
    values = [
        {
            "side": record.side, "done": record.step, "step": f"after step {record.step}" if record.step else "before",
            "params": record.params, "parameters": f"{record.params:,}", "percent": 100 * record.test_accuracy,
            "accuracy": units.percent(record.test_accuracy),
        }
        for record in report.pruning
    ]  # fmt: skip
    encoding = {
        "x": {"field": "params", "type": "quantitative", "title": "parameters", "axis": {"format": "~s"}},
        "y": {"field": "percent", "type": "quantitative", "title": "test accuracy (%)", "scale": {"zero": False}},
        "color": {"field": "side", "type": "nominal", "legend": {"title": None}},
        "order": {"field": "done"},
        **_tooltip("side", "step", "parameters", "accuracy")["encoding"],
    }
    line = {"type": "line", "point": {"size": 70}}
    return _chart([{"data": {"values": values}, "mark": line, "encoding": encoding}], height=240)


def trials_chart(search: SearchRecord) -> Spec:
    """Accuracy of each trial against its answer; those that were not trained have none and stand at the bottom."""
    values = [
        {
            "trial": trial.described, "ms": trial.latency_ms, "verdict": trial.verdict,
            "percent": None if trial.accuracy is None else 100 * trial.accuracy,
            "files": units.byte_size(trial.bundle_bytes), "accuracy": units.percent(trial.accuracy),
            "answer": units.milliseconds(trial.latency_ms),
            "kind": "chosen" if trial.number == search.chosen else "other" if trial.was_trained else "not trained",
        }
        for trial in search.trials
        if trial.latency_ms is not None and trial.bundle_bytes is not None
    ]  # fmt: skip
    encoding = {
        "x": {"field": "ms", "type": "quantitative", "title": "one answer (ms)", "scale": {"zero": False}},
        "color": {"field": "kind", "type": "nominal", "legend": {"title": None}},
        **_tooltip("trial", "accuracy", "files", "answer", "verdict")["encoding"],
    }
    percent = {"field": "percent", "type": "quantitative", "title": "validation accuracy (%)", "scale": {"zero": False}}
    point, tick = {"type": "point", "filled": True, "size": 90}, {"type": "tick", "orient": "vertical", "size": 16}
    trained = [value for value in values if value["percent"] is not None]
    layers: list[Spec] = [
        {"data": {"values": trained}, "mark": point, "encoding": {**encoding, "y": percent}},
        {"data": {"values": [value for value in values if value not in trained]}, "mark": tick,
         "encoding": {**encoding, "y": {"value": "height"}}},
    ]  # fmt: skip
    return _chart([layer for layer in layers if layer["data"]["values"]], height=240)


def groups_chart(report: BuildReport) -> Spec:
    """Bytes of each group's student and teacher side, side by side."""
    values = [
        {"group": f"group {index}", "side": side, "bytes": count, "file": units.byte_size(count)}
        for index, group in enumerate(report.groups)
        for side, count in (("student", group.student), ("teacher", group.teacher))
    ]
    encoding = {
        "y": {"field": "group", "type": "nominal", "sort": None, "title": None},
        "yOffset": {"field": "side"},
        "x": {"field": "bytes", "type": "quantitative", "title": "bytes of the file", "axis": _BYTES_AXIS},
        "color": {"field": "side", "type": "nominal", "legend": {"title": None}},
        **_tooltip("group", "side", "file")["encoding"],
    }
    height = 44 * len(report.groups)
    return _chart([{"data": {"values": values}, "mark": {"type": "bar"}, "encoding": encoding}], height=height)


def _others(report: BuildReport, cost: Cost) -> Spec:
    """The mixes off the path."""
    mark = {"type": "point", "filled": True, "size": 45, "color": "grey", "opacity": 0.7}
    encoding = {**_axes(cost), **_tooltip(*_MIX_TOOLTIP)["encoding"]}
    return {"data": {"values": list(_points(report, report.off_path, cost))}, "mark": mark, "encoding": encoding}


def _teacher(report: BuildReport, cost: Cost) -> list[Spec]:
    if report.teacher_accuracy is None:
        return []
    fact = {"what": "teacher in Keras", "percent": 100 * report.teacher_accuracy}
    rule = {"type": "rule", "strokeDash": [5, 3], "color": "grey"}
    return [_fact(fact, report.teacher_accuracy, rule, {"y": _axes(cost)["y"]})]


def _kd(report: BuildReport, cost: Cost) -> list[Spec]:
    """The student by plain distillation, which costs what the first mix costs."""
    first = next(iter(_points(report, report.path[:1], cost)), None)
    if report.kd_accuracy is None or first is None:
        return []
    fact = {"what": "student by plain distillation", "percent": 100 * report.kd_accuracy, "cost": first["cost"]}
    diamond = {"type": "point", "shape": "diamond", "filled": True, "size": 110, "color": "orange"}
    return [_fact(fact, report.kd_accuracy, diamond, _axes(cost))]


def _fact(fact: Mapping[str, Any], accuracy: float, mark: Spec, axes: Spec) -> Spec:
    values = [{**fact, "accuracy": units.percent(accuracy)}]
    return {"data": {"values": values}, "mark": mark, "encoding": {**axes, **_tooltip("what", "accuracy")["encoding"]}}


def _points(report: BuildReport, records: Iterable[MixRecord], cost: Cost) -> Iterable[dict[str, Any]]:
    for step, record in enumerate(records):
        value = record.bytes if cost == "bytes" else record.latency_ms
        if record.accuracy is not None and value is not None:
            yield {
                "run": report.label, "mix": str(record.mix), "step": step, "cost": value,
                "percent": 100 * record.accuracy, "accuracy": units.percent(record.accuracy),
                "files": units.byte_size(record.bytes), "answer": units.milliseconds(record.latency_ms),
            }  # fmt: skip


def _axes(cost: Cost) -> Spec:
    x: Spec = {"field": "cost", "type": "quantitative", "scale": {"nice": True}}
    if cost == "bytes":
        x |= {"title": "bytes of the mix's files", "axis": _BYTES_AXIS}
    else:
        x |= {"title": "one answer (ms)", "axis": {"tickCount": 5}}
    y = {"field": "percent", "type": "quantitative", "title": "test accuracy (%)", "scale": {"zero": False}}
    return {"x": x, "y": y}


def _tooltip(*columns: str) -> Spec:
    return {"encoding": {"tooltip": [{"field": column, "type": "nominal"} for column in columns]}}


def _chart(layers: list[Spec], *, height: int) -> Spec:
    return {
        "$schema": _SCHEMA, "width": "container", "height": height, "autosize": {"type": "fit", "contains": "padding"},
        "layer": layers,
    }  # fmt: skip
