from __future__ import annotations

import numpy as np
import pytest

from tfpwl.mix import path
from tfpwl.quantize import boundary_errors, quantize_files


def test_equal_files_have_no_error(tiny_files, images):
    errors = boundary_errors(tiny_files, tiny_files, images, path((0, 1, 2)))
    assert [(one.boundary, one.side) for one in errors] == [
        (0, "student"), (0, "teacher"), (1, "student"), (1, "teacher"),
    ]  # fmt: skip
    assert {(one.snr_db, round(one.cosine, 9)) for one in errors} == {(None, 1.0)}


def test_error_of_int8_is_that_of_the_dequantized_features(tiny_files, images, calibration, run):
    quantized = quantize_files(tiny_files, "int8", calibration)
    (student, *_) = boundary_errors(tiny_files, quantized, images, path((0, 1, 2))[:1])
    wanted = run(tiny_files["g0.student"], images).astype(np.float64)
    pinned = calibration.boundaries[0].student
    got = (run(quantized["g0.student"], images).astype(np.float64) - pinned.zero_point) * pinned.scale
    assert student.snr_db == pytest.approx(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()), abs=0.01)
    flat, rounded = wanted.reshape(len(images), -1), got.reshape(len(images), -1)
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(rounded, axis=1)
    cosine = ((flat * rounded).sum(1) / norms).mean()
    assert student.cosine == pytest.approx(cosine, abs=1e-6)
    # 8 bits over the range of three channels; uniform noise of a step would leave about 35 dB.
    assert 25 < student.snr_db < 60
