import pytest
from tiny_pipeline import PIPELINE, Recorder

from tfpwl.config import parse_config
from tfpwl.pipeline import build


@pytest.fixture(scope="session")
def pipeline_text():
    return PIPELINE


@pytest.fixture
def tiny_config():
    return lambda *overrides: parse_config(PIPELINE, overrides=overrides)


@pytest.fixture(scope="session")
def recorder():
    return Recorder


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """One finished build that tests look at and do not change."""
    return build(parse_config(PIPELINE), tmp_path_factory.mktemp("built") / "out")
