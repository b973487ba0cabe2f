from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from tfpwl.cli.pipeline_template import FAMILIES, NAMED
from tfpwl.config import (
    AugmentConfig,
    DataConfig,
    DistillConfig,
    EvaluateConfig,
    ExportConfig,
    GatesConfig,
    QatConfig,
    QuantizeConfig,
    TrainConfig,
    load_config,
)
from tfpwl.data import LABELS
from tfpwl.models import build_side
from tfpwl.pairs import make_pair

CHANNELS = {"cifar10": 3, "cifar100": 3}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _build(config, input_shape, num_classes):
    teacher = build_side(config.teacher, "teacher", input_shape, num_classes, seed=0)
    student = build_side(config.student, "student", input_shape, num_classes, seed=1, teacher=config.teacher)
    return make_pair(student, teacher)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("data", NAMED)
def test_pipeline_parses_and_its_pair_builds(tfpwl, tmp_path, family, data):
    assert tfpwl("init", "--family", family, "--data", data).code == 0
    config = load_config(tmp_path / f"{data}_{family}.yaml")
    assert config.name == f"{data}_{family}"
    assert config.data.name == data
    side = NAMED[data].side
    pair = _build(config, (side, side, CHANNELS.get(data, 1)), len(LABELS[data]))
    count = [sum(group.count_params() for group in groups) for groups in (pair.student, pair.teacher)]
    assert count[0] < count[1] / 2
    keras.backend.clear_session()


@pytest.mark.parametrize(
    "section", [AugmentConfig, TrainConfig, DistillConfig, ExportConfig, EvaluateConfig, GatesConfig]
)
def test_every_key_of_every_section_is_shown(tfpwl, tmp_path, section):
    tfpwl("init")
    keys = set(re.findall(r"^ *(?:# )?(\w+):", (tmp_path / "digits_resnet.yaml").read_text(), re.MULTILINE))
    assert set(section.model_fields) <= keys
    assert set(DataConfig.model_fields) - {"path", "folder", "npz", "python", "image_size"} <= keys


def test_keys_that_are_commented_out_are_valid(tfpwl, tmp_path):
    tfpwl("init")
    path = tmp_path / "digits_resnet.yaml"
    text = re.sub(r"^( +)# (\w+: )", r"\1\2", path.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub(r"^# ((?:quantize|  \w+):)", r"\1", text, flags=re.MULTILINE))
    config = load_config(path)
    assert config.quantize == QuantizeConfig(qat=QatConfig(epochs=3))
    assert config.gates.max_bundle_bytes == 5_000_000
    assert config.evaluate.limit == 1000


def test_tells_the_next_command(tfpwl):
    result = tfpwl("init", "-o", "my.yaml")
    assert result.out == "wrote my.yaml\nnext: tfpwl build my.yaml\n"


def test_does_not_overwrite_without_force(tfpwl, tmp_path):
    (tmp_path / "my.yaml").write_text("mine")
    result = tfpwl("init", "-o", "my.yaml")
    assert result.code == 2
    assert "my.yaml is there already. Give another name with -o, or --force" in result.err
    assert (tmp_path / "my.yaml").read_text() == "mine"
    assert tfpwl("init", "-o", "my.yaml", "--force").code == 0
    assert load_config(tmp_path / "my.yaml").name == "my"


def test_folder_is_found_from_where_the_pipeline_is(tfpwl, tmp_path):
    (tmp_path / "my photos: all").mkdir()
    (tmp_path / "sub").mkdir()
    assert tfpwl("init", "--data", "my photos: all", "-o", "sub/my.yaml").code == 0
    config = load_config(tmp_path / "sub" / "my.yaml")
    assert config.data.folder.resolve() == tmp_path / "my photos: all"
    assert config.data.image_size == (64, 64)
    assert config.name == "my"
    _build(config, (64, 64, 3), 5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", [12, 28, 48])
def test_npz_gets_sizes_for_its_images(tfpwl, tmp_path, family, side):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((2, side, side, 3), np.uint8), y_train=[0, 1])
    assert tfpwl("init", "--family", family, "--data", "d.npz").code == 0
    config = load_config(tmp_path / f"d_{family}.yaml")
    assert config.data.npz == tmp_path / "d.npz"
    _build(config, (side, side, 3), 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [("digit", "Did you mean 'digits'"), ("no/folder", "a folder that is there"), ("bad.npz", "no array x_train")],
)
def test_unusable_data_exits_2(tfpwl, tmp_path, data, message):
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    result = tfpwl("init", "--data", data)
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.glob("*.yaml"))


def test_folder_that_cannot_be_written_exits_2(tfpwl):
    result = tfpwl("init", "-o", "nowhere/my.yaml")
    assert result.code == 2
    assert "Cannot write nowhere/my.yaml" in result.err
