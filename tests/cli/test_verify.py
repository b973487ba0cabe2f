from __future__ import annotations

import json


def test_sound_bundle_passes_every_check_on_a_line_each(tfpwl, root):
    result = tfpwl("verify", root)
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("✓ ") for line in lines)
    assert any(line.startswith("✓ boundaries ") for line in lines)


def test_changed_byte_fails_one_check_and_names_the_file(tfpwl, root, flip_byte):
    flip_byte(root / "g1.teacher.tflite")
    result = tfpwl("verify", root)
    assert result.code == 1
    failed = [line for line in result.out.splitlines() if line.startswith("✗")]
    assert len(failed) == 1
    assert failed[0].startswith("✗ integrity")
    assert "g1.teacher.tflite" in failed[0]


def test_broken_manifest_is_a_failed_check(tfpwl, root):
    (root / "manifest.json").write_text("{")
    result = tfpwl("verify", root)
    assert result.code == 1
    assert result.out.startswith("✗ manifest")


def test_json_holds_every_check(tfpwl, root, flip_byte):
    flip_byte(root / "g0.student.tflite")
    result = tfpwl("verify", "--json", root)
    assert result.code == 1
    found = json.loads(result.out)
    assert found["passed"] is False
    assert {check["name"]: check["passed"] for check in found["checks"]}["integrity"] is False


def test_folder_without_a_manifest_exits_2(tfpwl, tmp_path):
    result = tfpwl("verify", tmp_path)
    assert result.code == 2
    assert "this folder is not a bundle" in result.err
