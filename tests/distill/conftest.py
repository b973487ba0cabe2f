import numpy as np
import pytest

from tfpwl.models import resnet
from tfpwl.pairs import make_pair
from tfpwl.training import Batches

SHAPE = (8, 8, 1)


@pytest.fixture
def make_tiny_pair():
    """A function that makes the same untrained pair of three groups every time."""

    def make(widths=(2, 3, 4), teacher_widths=(3, 4, 4)):
        student = resnet(SHAPE, 3, widths, (1,) * len(widths), name="student", seed=1)
        teacher = resnet(SHAPE, 3, teacher_widths, (1,) * len(widths), name="teacher", seed=2)
        rng = np.random.default_rng(5)
        for group in teacher:  # batch normalizations that do something
            for w in group.non_trainable_variables:
                w.assign(rng.uniform(0.5, 1.5, w.shape))
        return make_pair(student, teacher, seed=3)

    return make


@pytest.fixture(scope="session")
def tiny_batches():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 48)
    x = rng.integers(0, 60, (48, *SHAPE)).astype("uint8")
    x[np.arange(48), y * 2] += 180  # a bright row tells the class
    return lambda: Batches(x, y, lambda raw: raw.astype("float32") / 128 - 1, 16, seed=7)
