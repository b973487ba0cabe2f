"""``tfpwl wave`` through the command line, in one process of its own for each test that trains."""

import json
import subprocess
import sys

import pytest

PIPELINE = """
name: tiny
data: {name: digits, limit: 64, augment: null}
teacher: {family: resnet, widths: [8, 16], depths: [1, 1], train: {epochs: 1}}
student: {widths: [4, 8]}
wave: {condense: {epochs: 1}}
"""


def tfpwl_in_process(*arguments, cwd):
    command = [sys.executable, "-m", "tfpwl", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_condense_then_init_gives_a_stock_keras_model(tmp_path):
    (tmp_path / "p.yaml").write_text(PIPELINE)
    done = tfpwl_in_process("wave", "condense", "p.yaml", "-o", "t.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "conv3x3" in done.stdout
    assert "templates: t.npz" in done.stdout
    size = ["--widths", "8,8", "--depths", "2,1", "--steps", "2"]
    done = tfpwl_in_process("wave", "init", "t.npz", *size, "-o", "s.keras", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["size"] == {"widths": [8, 8], "depths": [2, 1]}
    assert set(made["scalers"]) == {"stem", "conv3x3", "conv1x1", "logits"}
    load = "import keras; print(keras.saving.load_model('s.keras', compile=False).output_shape)"
    shape = subprocess.run([sys.executable, "-c", load], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shape.stdout.strip() == "(None, 10)"
    done = tfpwl_in_process("wave", "init", "t.npz", "--widths", "6,8", "-o", "s.keras", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a multiple of 4. The nearest that work: 4 and 8." in done.stderr


def test_mistakes_exit_2_before_anything_is_loaded(tfpwl, tmp_path):
    for arguments, words in (
        (["wave", "init", tmp_path / "no.npz", "-o", tmp_path / "s.keras"], "No template file"),
        (["wave", "condense", tmp_path / "no.yaml", "-o", tmp_path / "nowhere/t.npz"], "nowhere does not exist"),
        (["wave", "study", tmp_path / "no.yaml"], "No such pipeline"),
    ):
        result = tfpwl(*arguments)
        assert result.code == 2
        assert words in result.err
