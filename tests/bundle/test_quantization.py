"""The manifest's ``quantization`` object, and boundaries that files of both sides share."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tfpwl.bundle import Bundle, Quantization, RungEntry, TensorSpec, write_bundle
from tfpwl.bundle.manifest import Manifest
from tfpwl.errors import ManifestError

CHOICE = Quantization(
    "fp32", "export", "fp32 is the fastest.",
    (RungEntry("fp32", "export", 1000, 0.0, 0.4), RungEntry("int8", "calibration", 280, -0.1, None)),
)  # fmt: skip


@pytest.fixture
def fields(tmp_path, tiny_files, tiny_fields):
    bundle = write_bundle(tmp_path / "b", files=tiny_files, quantization=CHOICE, **tiny_fields)
    assert Bundle.open(bundle.root).manifest.quantization == CHOICE
    return json.loads(bundle.manifest.to_json())


def test_what_was_chosen_is_written_and_read(fields):
    assert fields["quantization"]["rungs"][1] == {
        "precision": "int8", "method": "calibration", "bytes": 280, "drop": -0.1, "latency_ms": None,
    }  # fmt: skip


def test_a_bundle_without_a_choice_has_no_such_key(tiny_bundle):
    assert "quantization" not in json.loads(tiny_bundle.manifest.to_json())
    assert tiny_bundle.manifest.quantization is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda q: q.update(chosen="int4"),
            "chosen: received 'int4'; expected one of fp32, fp16, int8, w8",
        ),
        (lambda q: q.update(method="luck"), "quantization.method: received 'luck'"),
        (
            lambda q: q.update(chosen="int8"),
            "chosen: received 'int8' by 'export'; expected one of `rungs`",
        ),
        (
            lambda q: q.update(chosen="int8", method="calibration"),
            "chosen: received 'int8'; expected 'fp32'",
        ),
        (lambda q: q.update(rungs=[]), "quantization.rungs: received 0 members"),
        (lambda q: q.update(more=1), "quantization.more: unknown key"),
        (lambda q: q.pop("reason"), "quantization.reason: the key is missing"),
        (lambda q: q["rungs"][0].update(bytes=0), r"quantization.rungs[0].bytes: received 0"),
        (lambda q: q["rungs"][0].update(drop=101), r"quantization.rungs[0].drop: received 101"),
        (lambda q: q["rungs"][0].update(latency_ms=-1), r"quantization.rungs[0].latency_ms: received -1"),
    ],
)
def test_every_malformation_names_its_place(fields, change, message):
    change(fields["quantization"])
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(json.dumps(fields))
    assert message in str(caught.value)


def test_a_boundary_without_converters_has_one_scale_on_both_sides(tiny_bundle):
    shape = (1, 6, 6, 5)
    boundary = replace(
        tiny_bundle.manifest.boundaries[0], encoder=None, decoder=None,
        student=TensorSpec(shape, "int8", 0.1, 0), teacher=TensorSpec(shape, "int8", 0.2, 0),
    )  # fmt: skip
    broken = replace(tiny_bundle.manifest, boundaries=(boundary, *tiny_bundle.manifest.boundaries[1:]))
    with pytest.raises(ManifestError, match=r"boundaries\[0\]: the student has int8 .* scale 0.1 .* expected the same"):
        Manifest.from_json(broken.to_json())
