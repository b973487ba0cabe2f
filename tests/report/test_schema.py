from __future__ import annotations

import json
from dataclasses import fields

import jsonschema
import pytest

from tfpwl.report import (
    BoundaryRecord,
    BuildReport,
    FinetuneRecord,
    GateResult,
    GroupSizes,
    MixRecord,
    PruneRecord,
    RungRecord,
    metrics_schema,
)


def errors(text):
    return [
        error.json_path for error in jsonschema.Draft202012Validator(metrics_schema()).iter_errors(json.loads(text))
    ]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(metrics_schema())


def test_reports_keep_the_schema(report, full):
    assert errors(report.to_json()) == []
    assert errors(full.to_json()) == []


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (MixRecord, "mixes"), (GateResult, "gates"), (RungRecord, "rungs"), (PruneRecord, "pruning"),
        (GroupSizes, "groups"), (FinetuneRecord, "finetuning"),
    ],
)  # fmt: skip
def test_the_schema_describes_exactly_the_fields_that_there_are(kind, place):
    assert set(metrics_schema()["properties"][place]["items"]["properties"]) == {field.name for field in fields(kind)}


def test_the_schema_describes_the_report_and_the_boundaries():
    properties = metrics_schema()["properties"]
    assert set(properties) == {"format", "version", *(field.name for field in fields(BuildReport))}
    boundary = properties["rungs"]["items"]["properties"]["boundaries"]["items"]["properties"]
    assert set(boundary) == {field.name for field in fields(BoundaryRecord)}


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.version", 1), ("$.mixes[0].accuracy", 80), ("$.mixes[0].mix", "SX"), ("$.gates[0].passed", "yes"),
     ("$.groups[0].student", -1), ("$.rungs[0].latency_ms.SS", "fast"), ("$.precision", "int4")],
)  # fmt: skip
def test_wrong_values_break_it(full, path, value):
    data = json.loads(full.to_json())
    *parents, last = path.removeprefix("$.").replace("[0]", ".0").split(".")
    place = data
    for key in parents:
        place = place[int(key)] if key.isdigit() else place[key]
    place[last] = value
    assert errors(json.dumps(data)) == [path]
