from __future__ import annotations

from dataclasses import replace

import pytest

from tfpwl.bundle import Requires, TensorSpec, update_manifest, verify

CONTRACTS = [
    "manifest", "integrity", "runtime version", "fixed batch", "one partition", "operators", "boundaries",
    "float ends", "teacher chain", "path", "other files",
]  # fmt: skip


def failed(bundle) -> dict[str, str]:
    return {check.name: check.detail for check in verify(bundle) if not check.passed}


def test_a_sound_bundle_keeps_every_contract(tiny_bundle):
    checks = verify(tiny_bundle.root)
    assert [check.name for check in checks] == CONTRACTS
    assert {check.name: check.detail for check in checks if not check.passed} == {}


def test_a_broken_manifest_is_one_failed_check(tiny_bundle):
    (tiny_bundle.root / "manifest.json").write_text("{")
    (check,) = verify(tiny_bundle.root)
    assert (check.name, check.passed) == ("manifest", False)
    assert "not valid JSON" in check.detail


def test_no_file_is_loaded_when_a_checksum_is_wrong(tiny_bundle, monkeypatch):
    path = tiny_bundle.root / "g2.teacher.tflite"
    path.write_bytes(b"\0" * path.stat().st_size)
    monkeypatch.setattr("tfpwl.bundle.contracts._load", lambda model: pytest.fail("a file reached the interpreter"))
    checks = {check.name: check for check in verify(tiny_bundle.root)}
    assert list(checks) == ["manifest", "integrity", "runtime version", "other files"]
    assert "g2.teacher.tflite: the content has SHA-256" in checks["integrity"].detail


def test_a_missing_file_fails_integrity(tiny_bundle):
    (tiny_bundle.root / "g2.teacher.tflite").unlink()
    (check,) = verify(tiny_bundle.root)
    assert (check.name, check.passed) == ("integrity", False)


def test_a_bundle_for_a_newer_runtime_fails(tiny_bundle):
    bundle = update_manifest(tiny_bundle, requires=Requires("99.0.0"))
    assert "needs TFLite 99.0.0" in failed(bundle)["runtime version"]


@pytest.mark.parametrize("keep", [0, 8, 100, 700])
def test_a_broken_file_with_the_right_sum_fails_a_check(tiny_bundle, tiny_files, keep, smuggle):
    broken = tiny_files["g1.teacher"][:keep] or b"x"
    assert "g1.teacher.tflite" in failed(smuggle(tiny_bundle, 1, "teacher", broken))["fixed batch"]


def test_a_free_batch_fails(tiny_bundle, bad_files, smuggle):
    bundle = smuggle(tiny_bundle, 2, "student", bad_files["free_batch"])
    assert "g2.student.tflite: free shape" in failed(bundle)["fixed batch"]


def test_output_that_is_not_finite_fails_the_mixes_that_use_it(tiny_bundle, bad_files, smuggle):
    problems = failed(smuggle(tiny_bundle, 2, "student", bad_files["nan"]))
    assert list(problems) == ["path"]
    assert "SSS: 4 of 4 outputs are not finite" in problems["path"]


def test_a_manifest_that_says_another_boundary_than_the_files_fails(tiny_bundle):
    boundary = tiny_bundle.manifest.boundaries[1]
    changed = replace(boundary, teacher=TensorSpec(boundary.teacher.shape, "int8", 0.5, 3))
    bundle = update_manifest(tiny_bundle, boundaries=(tiny_bundle.manifest.boundaries[0], changed))
    problems = failed(bundle)
    assert list(problems) == ["boundaries"]
    expected = "the teacher side of boundary 1 is int8 [1, 6, 6, 8] scale 0.5 zero point 3"
    assert problems["boundaries"].count(expected) == 4


def test_a_file_of_the_wrong_width_fails_boundaries_and_mixes(tiny_bundle, tiny_files, smuggle):
    problems = failed(smuggle(tiny_bundle, 1, "teacher", tiny_files["g1.student"]))
    assert list(problems) == ["boundaries", "teacher chain", "path"]
    assert "g1.teacher.tflite does not run" in problems["teacher chain"]


def test_ends_that_differ_from_the_manifest_fail(tiny_bundle):
    output = replace(tiny_bundle.manifest.output, shape=(1, 5), labels=None, labels_sha256=None)
    bundle = update_manifest(tiny_bundle, output=output)
    assert "its output is float32 [1, 4], but the bundle's output is float32 [1, 5]" in failed(bundle)["float ends"]
