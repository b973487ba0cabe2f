from __future__ import annotations

import json


def test_sound_bundle_passes_every_check_on_a_line_each(tfpwl, root):
    result = tfpwl("verify", root)
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) == 11
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


def test_signature_is_one_more_line_where_it_is_asked_for(tfpwl, root, key_files):
    key, public_key = key_files
    assert "✗ signature" in (unsigned := tfpwl("verify", root, "--public-key", public_key)).out
    assert unsigned.code == 1
    assert tfpwl("sign", root, "--key", key).code == 0
    signed = tfpwl("verify", root, "--public-key", public_key)
    assert signed.code == 0
    assert len(signed.out.splitlines()) == 12
    assert "✓ signature" in signed.out


def test_public_key_that_cannot_be_used_exits_2(tfpwl, root, key_files):
    result = tfpwl("verify", root, "--public-key", key_files[0])
    assert result.code == 2
    assert "It is a private key, which belongs on no device" in result.err


def test_model_beside_the_bundle_that_no_sum_covers_fails(tfpwl, root):
    (root / "g9.teacher.tflite").write_bytes(b"x")
    result = tfpwl("verify", root)
    assert result.code == 1
    (failed,) = [line for line in result.out.splitlines() if line.startswith("✗")]
    assert "other files" in failed
    assert "g9.teacher.tflite: not in the manifest" in failed


def test_other_file_beside_the_bundle_is_only_named(tfpwl, root):
    (root / "README.md").write_text("dear")
    result = tfpwl("verify", root)
    assert result.code == 0
    assert "not in the manifest, never read: README.md" in result.out


def test_changed_labels_fail(tfpwl, root):
    (root / "labels.txt").write_text("bee\nant\ncat\ndog\n")
    result = tfpwl("verify", root)
    assert result.code == 1
    assert "✗ integrity" in result.out
    assert "labels.txt: the content has SHA-256" in result.out


def test_folder_without_a_manifest_exits_2(tfpwl, tmp_path):
    result = tfpwl("verify", tmp_path)
    assert result.code == 2
    assert "this folder is not a bundle" in result.err
