from __future__ import annotations

import sys

import numpy as np
import pytest

from tfpwl.bundle import TensorSpec
from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime import InterpreterEngine


def test_a_loaded_group_knows_its_ends(tiny_files):
    group = InterpreterEngine().load(tiny_files["g1.teacher"], threads=1)
    assert group.input == TensorSpec((1, 6, 6, 5), "float32")
    assert group.output == TensorSpec((1, 6, 6, 8), "float32")


@pytest.mark.parametrize("model", [b"", b"no model at all", b"\x1c\0\0\0TFL3" + b"\xff" * 100])
def test_bytes_that_are_no_model_are_an_engine_error(model):
    with pytest.raises(EngineError, match=rf"cannot load the file \({len(model)} bytes\)"):
        InterpreterEngine().load(model, threads=1)


def test_no_threads_are_an_engine_error(tiny_files):
    with pytest.raises(EngineError, match="num_threads should >= 1"):
        InterpreterEngine().load(tiny_files["g0.student"], threads=0)


def test_input_that_does_not_fit_is_an_engine_error(tiny_files):
    group = InterpreterEngine().load(tiny_files["g0.student"], threads=1)
    with pytest.raises(EngineError, match=r"cannot run the group on float32 \(1, 5, 5, 1\)"):
        group(np.zeros((1, 5, 5, 1), np.float32))


def test_a_closed_group_says_so(tiny_files):
    group = InterpreterEngine().load(tiny_files["g0.student"], threads=1)
    group.close()
    group.close()
    with pytest.raises(EngineError, match="was closed"):
        group(np.zeros((1, 6, 6, 1), np.float32))


def test_a_missing_runtime_says_what_to_install(tiny_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        InterpreterEngine().load(tiny_files["g0.student"], threads=1)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        _ = InterpreterEngine().tflite_level
