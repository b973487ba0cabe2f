import pytest
from tiny_pipeline import PIPELINE, Recorder

from tfpwl.config import parse_config
from tfpwl.errors import ConfigError
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


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"start": "prune"}, "Received stage 'prune'; this pipeline has train, distill, export, evaluate"),
        ({"until": "quantize"}, "Received stage 'quantize'; this pipeline has"),
        ({"until": "train", "start": "export"}, "--from export, which comes after train"),
    ],
)
def test_stages_that_a_pipeline_has_not_are_refused_before_anything_is_trained(workers, tmp_path, stages, message):
    heard, out = Recorder(), tmp_path / "out"
    with pytest.raises(ConfigError, match=message):
        build(parse_config(PIPELINE), out, workers=workers, reporter=heard, **stages)
    assert (len(heard.ran), len(heard.cached), out.exists()) == (0, 0, False)


def test_tiers_are_all_asked_for_a_stage_before_the_first_is_trained(workers, pipeline_text, recorder, tmp_path):
    heard, out = recorder(), tmp_path / "out"
    config = parse_config(f"{pipeline_text}{TIERS}  last: {{quantize: {{ladder: [fp16]}}}}\n")
    with pytest.raises(ConfigError, match="Received stage 'quantize'; this pipeline has train, distill"):
        build_tiers(config, out, workers=workers, start="quantize", reporter=heard)
    assert (len(heard.ran), len(heard.cached)) == (0, 0)
    assert not list(out.glob("stages/*-*"))
