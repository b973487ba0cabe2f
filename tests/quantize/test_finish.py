from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from litert_quantizer import quantizer

from tfpwl.bundle.tflite_file import read_facts
from tfpwl.quantize import calibrate, quantize_files, recipes
from tfpwl.quantize.finish import finish


@pytest.fixture
def raw(families):
    """What litert-quantizer makes of a group, before anything of ours."""

    def make(recipe, stem="g1.teacher", family="resnet"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result = quantizer.Quantizer(families[family][stem], recipe).quantize(enable_progress_report=False)
        return bytes(result.quantized_model)

    return make


@pytest.mark.parametrize("recipe", [recipes.fp16, recipes.w8])
def test_the_file_computes_the_same_and_is_smaller(recipe, raw, run):
    before = raw(recipe())
    after = finish(before)
    assert len(after) < len(before)
    shape = read_facts("g", before).input.shape
    x = np.random.default_rng(0).random((4, *shape[1:]), np.float32)
    np.testing.assert_array_equal(run(after, x), run(before, x))
    assert finish(after) == after


def test_weights_stand_aligned_inside_the_flatbuffer(families, family_images):
    files = {stem: data for stem, data in families["resnet"].items() if stem != "teacher"}
    for model in quantize_files(files, "int8", calibrate(files, family_images)).values():
        root = schema.Model.GetRootAsModel(model, 0)
        for i in range(root.BuffersLength()):
            buffer = root.Buffers(i)
            assert buffer.Offset() <= 1
            if buffer.DataLength():
                assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_the_oldest_runtime_is_that_of_the_youngest_kernel(families, family_images):
    files = {stem: data for stem, data in families["resnet"].items() if stem != "teacher"}
    needed = {
        precision: {
            stem: read_facts(stem, data).min_runtime_version
            for stem, data in quantize_files(files, precision, calibration).items()
        }
        for precision, calibration in (("fp16", None), ("w8", None), ("int8", calibrate(files, family_images)))
    }
    # A convolution with a scale per channel and float activations came with 2.4, the dense one with 2.17.
    assert needed["w8"]["g0.teacher"] == "2.4.0"
    assert needed["w8"]["g1.teacher"] == "2.17.0"
    assert needed["int8"]["g0.teacher"] == needed["fp16"]["g0.teacher"] == "1.15.0"
    assert needed["int8"]["g1.teacher"] == "2.16.0"
