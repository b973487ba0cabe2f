from __future__ import annotations

import json

import numpy as np
import pytest

from tfpwl.bundle import Bundle, verify


@pytest.fixture
def many(tmp_path):
    """200 raw images and labels that are noise, as a file."""
    rng = np.random.default_rng(0)
    path = tmp_path / "many.npz"
    np.savez(path, x=rng.integers(0, 17, (200, 6, 6, 1), np.uint8), y=rng.integers(0, 4, 200))
    return path


def contents(root):
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.mark.parametrize("precision", ["fp16", "w8", "int8"])
def test_writes_a_bundle_beside_the_old_one_which_stays(tfpwl, root, many, precision):
    before = contents(root)
    result = tfpwl("quantize", root, "--precision", precision, "--data", many)
    assert result.code == 0
    assert contents(root) == before
    bundle = Bundle.open(root.with_name(f"{root.name}-{precision}"))
    assert str(bundle.root) in result.out
    assert bundle.manifest.precision == bundle.manifest.quantization.chosen == precision
    assert bundle.labels == Bundle.open(root).labels
    assert all(check.passed for check in verify(bundle))
    assert [entry.accuracy is not None and entry.latency_ms is not None for entry in bundle.manifest.path] == [True] * 4


def test_json_has_both_sides_of_every_mix_of_the_path(tfpwl, root, many, tmp_path):
    result = tfpwl("quantize", root, "--precision", "int8", "--data", many, "-o", tmp_path / "new", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["bytes"] < found["fp32_bytes"]
    assert list(found["mixes"]) == ["SSS", "TSS", "TTS", "TTT"]
    drops = [100 * (mix["fp32_accuracy"] - mix["accuracy"]) for mix in found["mixes"].values()]
    assert found["drop"] == pytest.approx(max(drops))
    assert found["bundle"] == str(tmp_path / "new")


def test_data_without_labels_calibrates_and_measures_no_accuracy(tfpwl, root, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 17, (30, 6, 6), np.uint8))
    arguments = ("quantize", root, "--precision", "int8", "--data", tmp_path / "x.npz")
    result = tfpwl(*arguments, "--max-drop", 1)
    assert result.code == 2
    assert "--max-drop needs accuracies" in result.err
    assert tfpwl(*arguments).code == 0
    bundle = Bundle.open(root.with_name(f"{root.name}-int8"))
    assert {entry.accuracy for entry in bundle.manifest.path} == {None}
    assert bundle.manifest.quantization.rungs[1].drop is None


@pytest.mark.parametrize(
    ("shape", "message"),
    [((20, 5, 5), "images of shape [5, 5, 1]; the bundle 'tiny' takes [6, 6, 1]"), ((0, 6, 6), "holds 0 images")],
)
def test_data_that_does_not_fit_exits_2(tfpwl, root, tmp_path, shape, message):
    np.savez(tmp_path / "x.npz", x=np.zeros(shape, np.uint8))
    result = tfpwl("quantize", root, "--precision", "int8", "--data", tmp_path / "x.npz")
    assert result.code == 2
    assert message in result.err
    assert not root.with_name(f"{root.name}-int8").exists()


def test_black_images_exit_2(tfpwl, root, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 6, 6), np.uint8))
    result = tfpwl("quantize", root, "--precision", "int8", "--data", tmp_path / "x.npz")
    assert result.code == 2
    assert "20 calibration images that are 0 throughout" in result.err


def test_only_an_fp32_bundle_can_be_quantized(tfpwl, root, many):
    assert tfpwl("quantize", root, "--precision", "fp16", "--data", many).code == 0
    result = tfpwl("quantize", root.with_name(f"{root.name}-fp16"), "--precision", "int8", "--data", many)
    assert result.code == 2
    assert "is fp16; expected fp32" in result.err


def test_the_fp32_bundle_is_never_overwritten(tfpwl, root, many):
    before = contents(root)
    result = tfpwl("quantize", root, "--precision", "int8", "--data", many, "-o", root)
    assert result.code == 2
    assert "is the fp32 bundle, which stays" in result.err
    assert contents(root) == before
