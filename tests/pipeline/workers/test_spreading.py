import pytest

from tfpwl.config import parse_config
from tfpwl.pipeline import build, build_tiers
from tfpwl.pipeline.workers import LocalWorkers

pytestmark = pytest.mark.slow

TIERS = """
tiers:
  low: {student: {widths: [3, 5]}}
  high: {}
"""


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(2) as workers:
        yield workers


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.tflite")}


@pytest.fixture(scope="module")
def spread_tiers(workers, tmp_path_factory, pipeline_text, recorder):
    heard = recorder()
    config = parse_config(pipeline_text + TIERS)
    result = build_tiers(config, tmp_path_factory.mktemp("spread") / "out", reporter=heard, workers=workers)
    return result, heard


def test_what_tiers_share_is_made_once_and_nothing_is_trained_here(spread_tiers):
    _, heard = spread_tiers
    spread = {"low train", "low distill", "low export", "high distill", "high export"}
    assert sorted(heard.ran) == sorted([*spread, "low evaluate", "high evaluate"])
    assert {"high train", *spread} == set(heard.cached)


def test_bundles_are_those_of_one_process(spread_tiers, pipeline_text, tmp_path):
    result, _ = spread_tiers
    alone = build_tiers(parse_config(pipeline_text + TIERS), tmp_path / "out", tiers=["low"])
    assert files(result.tiers["low"].bundle.root) == files(alone.tiers["low"].bundle.root)


def test_stages_that_are_asked_for_again_are_made_again_once(workers, pipeline_text, recorder, tmp_path):
    config, heard = parse_config(pipeline_text), recorder()
    build(config, tmp_path / "out", until="export", workers=workers)
    build(config, tmp_path / "out", until="export", start="export", workers=workers, reporter=heard)
    assert (heard.ran, heard.cached) == (["export"], ["train", "distill", "export"])
