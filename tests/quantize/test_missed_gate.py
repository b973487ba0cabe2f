from __future__ import annotations

import numpy as np
import pytest

from tfpwl.bundle import write_bundle
from tfpwl.cli.main import main
from tfpwl.runtime import ProgressiveModel


@pytest.fixture
def bundle(families, tiny_fields, tmp_path):
    files = {stem: data for stem, data in families["resnet"].items() if stem != "teacher"}
    return write_bundle(tmp_path / "fp32", files=files, **{**tiny_fields, "labels": None})


def raw_images():
    """Noise; the first after the command has shuffled them is nearly black."""
    x = np.random.default_rng(0).integers(0, 17, (120, 16, 16, 1), np.uint8)
    dark = np.random.default_rng(0).permutation(len(x))[0]
    x[dark] = 0
    x[dark, 0, 0] = 1
    return x


def test_a_gate_that_is_missed_exits_1_names_the_mix_and_writes_nothing(bundle, tmp_path, capsys):
    # Labels are what fp32 answers, so that every answer that rounding changes is lost. int8 is calibrated on the dark
    # image alone, so that all others saturate.
    x = raw_images()
    with ProgressiveModel.open(bundle) as model:
        y = np.array([model.predict(one).argmax() for one in bundle.manifest.input.preprocess(x)])
    assert len(set(y)) > 1
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    options = ["--data", str(tmp_path / "xy.npz"), "--samples", "1", "--max-drop", "5"]
    with pytest.raises(SystemExit) as left:
        main(["quantize", str(bundle.root), "--precision", "int8", *options])
    assert left.value.code == 1
    message = capsys.readouterr().err
    assert "int8 loses" in message
    assert "--max-drop allows 5. Nothing was written." in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32", "xy.npz"]
