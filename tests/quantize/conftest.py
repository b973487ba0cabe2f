from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfpwl.quantize import Calibration, calibrate

SCRIPT = Path(__file__).with_name("family_files.py")
Files = dict[str, bytes]


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """What ``family_files.py`` writes: files by stem, by family; ``teacher`` is the teacher in one piece."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "family_files"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True, text=True)
            (folder / "done").touch()
    return {
        family.name: {path.stem: path.read_bytes() for path in sorted(family.glob("*.tflite"))}
        for family in sorted(folder.iterdir())
        if family.is_dir()
    }


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Model input for the tiny pair, with negative values as after standardization."""
    return np.random.default_rng(0).normal(size=(24, 6, 6, 1)).astype(np.float32)


@pytest.fixture(scope="session")
def family_images() -> np.ndarray:
    """Model input for the families' pairs."""
    return np.random.default_rng(1).normal(size=(32, 16, 16, 1)).astype(np.float32)


@pytest.fixture(scope="session")
def calibration(tiny_files: Files, images: np.ndarray) -> Calibration:
    return calibrate(tiny_files, images)


@pytest.fixture(scope="session")
def run() -> Callable[[bytes, np.ndarray], np.ndarray]:
    """The answers of one file to images."""
    return _run


def _run(model: bytes, x: np.ndarray) -> np.ndarray:
    """The answers of one file to images, one by one, by an interpreter of its own."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for one in x:
        interpreter.set_tensor(given, one[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(answer)[0])
    return np.stack(answers)


def _changed(model: bytes, change: Callable[[str, np.ndarray], np.ndarray]) -> bytes:
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    for tensor in root.subgraphs[0].tensors:
        buffer = root.buffers[tensor.buffer]
        if tensor.type == schema.TensorType.FLOAT32 and buffer.data is not None and len(buffer.data):
            weights = change(tensor.name.decode(), np.frombuffer(bytes(buffer.data), np.float32))
            buffer.data = np.frombuffer(weights.astype(np.float32).tobytes(), np.uint8)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def with_weights() -> Callable[..., bytes]:
    """The file with its float constants (weights and biases) replaced by a function of them."""
    return lambda model, change: _changed(model, lambda _, weights: change(weights))


@pytest.fixture
def without() -> Callable[[bytes, set[str]], bytes]:
    """The file with the constants of these names at 0."""
    return lambda model, names: _changed(model, lambda name, weights: weights * (name not in names))
