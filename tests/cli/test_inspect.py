from __future__ import annotations

import json
from dataclasses import replace

from tfpwl.bundle import update_manifest


def test_shows_groups_boundaries_and_path(tfpwl, tiny_bundle, root):
    update_manifest(tiny_bundle, path=tiny_bundle.manifest.walk((0, 1, 2), {"SSS": 0.5, "TSS": 0.75}, {"SSS": 0.25}))
    result = tfpwl("inspect", root)
    assert result.code == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[0] == "tiny fp32, 3 groups"
    assert "input float32 1×6×6×1, (raw × 0.0625 − 0) ÷ 1" in lines
    assert "output float32 1×4, logits of 4 classes: ant, bee, cat, dog" in lines
    assert any(line.startswith("0 → 1 1×6×6×3 1×6×6×5 float32") for line in lines)
    path = [line for line in lines if line.startswith(("SSS", "TSS", "TTS", "TTT"))]
    assert path[0].startswith("SSS 50.00 % – ")
    assert path[0].endswith("0.250 ms")
    assert path[1].startswith("TSS 75.00 % +25.00 ")
    assert path[2].startswith("TTS – – ")


def test_fits_into_80_columns(tfpwl, root, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, tfpwl("inspect", root).out.splitlines())) <= 80


def test_json_holds_manifest_labels_and_sums(tfpwl, tiny_bundle, root):
    result = tfpwl("inspect", "--json", root)
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["order"] == [0, 1, 2]
    assert found["labels"] == ["ant", "bee", "cat", "dog"]
    assert found["student_bytes"] == tiny_bundle.mix_bytes("SSS")
    assert found["bundle_bytes"] == sum(entry.bytes for entry in tiny_bundle.files())
    assert [entry["mix"] for entry in found["path"]] == ["SSS", "TSS", "TTS", "TTT"]


def test_shows_the_quantization_of_a_boundary(tfpwl, tiny_bundle, root):
    boundaries = list(tiny_bundle.manifest.boundaries)
    quantized = {"dtype": "int8", "scale": 0.0118, "zero_point": -3}
    student, teacher = replace(boundaries[0].student, **quantized), replace(boundaries[0].teacher, **quantized)
    boundaries[0] = replace(boundaries[0], student=student, teacher=teacher)
    # The manifest alone is read: that the files do not fit it is the business of verify.
    manifest = replace(tiny_bundle.manifest, precision="int8", boundaries=tuple(boundaries))
    (root / "manifest.json").write_text(manifest.to_json())
    result = tfpwl("inspect", root)
    assert result.code == 0
    assert result.out.count("0.0118 × (q + 3)") == 2


def test_broken_manifest_exits_2_and_names_the_place(tfpwl, root):
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["groups"][1]["teacher"]
    (root / "manifest.json").write_text(json.dumps(manifest))
    result = tfpwl("inspect", root)
    assert result.code == 2
    assert "groups[1]" in result.err
