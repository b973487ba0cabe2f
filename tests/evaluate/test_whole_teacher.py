from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpwl.errors import ContractError
from tfpwl.evaluate import teacher_difference
from tfpwl.export import export_model
from tfpwl.pairs import compose


def test_the_all_teacher_mix_is_the_teacher(bundle, one_piece, images):
    # Contract 4 at fp32.
    assert teacher_difference(bundle, one_piece, images[0]) <= 1e-5


def test_another_teacher_shows(bundle, pair, images):
    other = export_model(compose((*pair.teacher[:2], pair.student[2]), "other"))
    assert teacher_difference(bundle, other, images[0][:8]) > 1e-3


def test_nan_is_not_lost(bundle, one_piece, images):
    x = images[0][:4].copy()
    x[1] = np.nan
    assert np.isnan(teacher_difference(bundle, one_piece, x))


def test_a_file_of_another_shape_is_refused(bundle, images):
    inputs = keras.Input((6, 6, 1))
    other = export_model(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))))
    with pytest.raises(ContractError, match=r"maps \(1, 6, 6, 1\) to \(1, 2\); the bundle maps .* to \(1, 4\)"):
        teacher_difference(bundle, other, images[0])
