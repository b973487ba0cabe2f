from __future__ import annotations

import keras
import pytest
from tied_models import BUILDERS, resnet


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture(params=list(BUILDERS))
def any_model(request: pytest.FixtureRequest) -> keras.Model:
    return BUILDERS[request.param]()


@pytest.fixture
def small_resnet() -> keras.Model:
    return resnet()
