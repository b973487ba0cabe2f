import numpy as np
import pytest

from tfpwl.models import build_groups
from tfpwl.training import Batches
from tfpwl.wave import TemplateSet, count_scalers, template_shapes
from tfpwl.wave.auxiliary import num_blocks

SHAPE, CLASSES = (8, 8, 1), 3


def vit(depth, width, *, name="student", seed=1):
    return build_groups(
        "vit", SHAPE, CLASSES, name=name, seed=seed, patch=4, width=width, depth=depth, heads=width // 4,
        mlp=2 * width, groups=depth,
    )  # fmt: skip


def resnet(depth, width, *, name="student", seed=1):
    return build_groups(
        "resnet", SHAPE, CLASSES, name=name, seed=seed, widths=(width, 2 * width), depths=(depth, depth)
    )


FAMILIES = {"vit": vit, "resnet": resnet}


@pytest.fixture(params=FAMILIES)
def family(request):
    """Name of a family and a function (depth, width) -> groups of it."""
    return request.param, FAMILIES[request.param]


@pytest.fixture
def make_templates():
    """Random templates that fit the given models."""

    def make(name, *models, num=3, seed=0):
        rng = np.random.default_rng(seed)
        shapes = template_shapes(models)
        templates = {kind: rng.normal(size=(num, *shape)).astype("float32") for kind, shape in shapes.items()}
        assert set(count_scalers(models[0], templates)) == set(num_blocks(models[0], shapes))
        return TemplateSet(name, templates, {}, {})

    return make


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 48)
    x = rng.integers(0, 60, (48, *SHAPE)).astype("uint8")
    x[np.arange(48), y * 2] += 180  # a bright row tells the class
    return lambda seed=7: Batches(x, y, lambda raw: raw.astype("float32") / 128 - 1, 16, seed=seed)


def _logits(groups, x):
    for group in groups:
        x = group(x, training=False)
    return np.asarray(x)


@pytest.fixture
def logits():
    """A function (groups, images) -> logits."""
    return _logits


@pytest.fixture
def images():
    return np.random.default_rng(3).normal(size=(5, *SHAPE)).astype("float32")


@pytest.fixture
def shaken():
    """Gives every weight a random value near its own, so that no bias or statistic is 0 or 1 any more."""

    def shake(groups, seed=0):
        rng = np.random.default_rng(seed)
        for layer in (layer for group in groups for layer in group.layers):
            layer.set_weights([w + rng.uniform(0.05, 0.3, w.shape).astype("float32") for w in layer.get_weights()])
        return groups

    return shake
