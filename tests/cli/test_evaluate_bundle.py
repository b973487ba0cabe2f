from __future__ import annotations

import json

import numpy as np
import pytest

from tfpwl.evaluate import evaluate_mixes


def test_agrees_with_evaluate_mixes(tfpwl, tiny_bundle, root, npz, labelled):
    x, y = labelled
    expected = evaluate_mixes(tiny_bundle, tiny_bundle.manifest.input.preprocess(x), y)
    result = tfpwl("evaluate", root, "--data", npz, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["num_images"] == 40
    counts = {mix: entry["correct"] for mix, entry in found["mixes"].items()}
    assert counts == {mix: result.correct for mix, result in expected.items()}
    assert found["mixes"]["TSS"]["on_path"]
    assert not found["mixes"]["STS"]["on_path"]


@pytest.mark.parametrize(("mixes", "expected"), [("path", ["SSS", "TSS", "TTS", "TTT"]), ("STS, TTT", ["STS", "TTT"])])
def test_measures_the_mixes_that_are_asked_for(tfpwl, root, npz, mixes, expected):
    result = tfpwl("evaluate", root, "--data", npz, "--mixes", mixes)
    assert result.code == 0
    rows = [line.split()[0] for line in result.out.splitlines() if line.strip() and set(line.split()[0]) <= {"S", "T"}]
    assert rows == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixes", "TT"], "Received mix 'TT'; expected 3 letters"),
        (["--mixes", "most"], "Say all, path, or mixes"),
        (["--set", "seed=1"], "-o, --set and --from belong to a pipeline"),
    ],
)
def test_wrong_options_for_a_bundle_exit_2(tfpwl, root, npz, arguments, message):
    result = tfpwl("evaluate", root, "--data", npz, *arguments)
    assert result.code == 2
    assert message in result.err


def test_bundle_without_data_exits_2(tfpwl, root):
    result = tfpwl("evaluate", root)
    assert result.code == 2
    assert "A bundle needs --data" in result.err


def test_data_without_labels_exits_2(tfpwl, root, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 6, 6), np.uint8))
    result = tfpwl("evaluate", root, "--data", tmp_path / "x.npz")
    assert result.code == 2
    assert "has no labels" in result.err


def test_changed_byte_exits_2_and_names_the_file(tfpwl, root, npz, flip_byte):
    flip_byte(root / "g1.teacher.tflite")
    result = tfpwl("evaluate", root, "--data", npz)
    assert result.code == 2
    assert "g1.teacher.tflite" in result.err
