"""The stage `finetune`: a finished pair learns from device data; what it was made of stays."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tfpwl.bundle import verify
from tfpwl.data import load_dataset
from tfpwl.errors import ConfigError, DataError
from tfpwl.pairs import load_pair, named_models
from tfpwl.pipeline import build
from tfpwl.report import BuildReport


@pytest.fixture
def collected(tmp_path):
    """A .npz of the digits as a device with an inverted, dim sensor sees them; ``change`` spoils the arrays."""

    def write(change=lambda arrays: None):
        digits = load_dataset("digits")
        arrays = {}
        for split, name in ((digits.train, "train"), (digits.test, "test")):
            arrays[f"x_{name}"] = (255 - split.x[:160] // 2).astype(split.x.dtype)
            arrays[f"y_{name}"] = split.y[:160]
        arrays["labels"] = np.array(digits.labels)
        change(arrays)
        np.savez(tmp_path / "device.npz", **arrays)
        return tmp_path / "device.npz"

    return write


def section(file, **keys):
    return "finetune={" + ", ".join([f"data: {{npz: {file}}}", *(f"{k}: {v}" for k, v in keys.items())]) + "}"


@pytest.mark.slow
def test_a_finished_pair_learns_from_device_data(built, tiny_config, collected, recorder, tmp_path):
    out = shutil.copytree(built.output, tmp_path / "out")
    config = tiny_config(section(collected(), epochs=6, groups="student", learning_rate=0.05))
    watch = recorder()
    result = build(config, out, reporter=watch)
    assert watch.ran == ["finetune", "export", "evaluate"]
    before, after = (named_models(load_pair(one.artifacts[stage])) for one, stage in
                     ((built, "distill"), (result, "finetune")))  # fmt: skip
    for stem, model in after.items():
        same = all(map(np.array_equal, model.get_weights(), before[stem].get_weights()))
        assert same == (not stem.endswith("student")), stem
    records = {one.mix: one for one in result.report.finetuning}
    assert list(records) == [str(record.mix) for record in result.report.path]
    # Fifty steps after an almost untrained student: its loss tells, its accuracy is still near chance.
    epochs = result.metrics["finetune"]["epochs"]
    assert len(epochs) == 6
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert (records["TT"].new_before, records["TT"].old_before) == (records["TT"].new_after, records["TT"].old_after)
    assert records["SS"].old_after == pytest.approx(result.report.path[0].accuracy, abs=0.01)  # Keras and files
    assert [check for check in verify(result.bundle) if not check.passed] == []
    assert BuildReport.from_json((result.output / "metrics.json").read_text()) == result.report
    assert "## Fine-tuning on device data" in (result.output / "report.md").read_text()
    again = recorder()
    build(config, out, reporter=again)
    assert again.ran == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arrays: arrays.update(labels=np.array(list("abcdefghij"))), "received the classes a, b, c, d, e"),
        (
            lambda arrays: arrays.update({k: np.repeat(v, 3, -1) for k, v in arrays.items() if k.startswith("x")}),
            "received images of shape 8, 8, 3; expected 8, 8, 1",
        ),
        (
            lambda arrays: arrays.update({k: v.astype("float32") for k, v in arrays.items() if k.startswith("x")}),
            "received pixels of type float32; expected",
        ),
    ],
)
def test_device_data_of_another_kind_is_refused_before_anything_is_trained(
    tiny_config, collected, tmp_path, change, says
):
    with pytest.raises(DataError, match=f"`finetune`: {says}"):
        build(tiny_config(section(collected(change))), tmp_path / "out")
    assert list((tmp_path / "out").rglob("*.keras")) == []


@pytest.mark.parametrize("wrong", ["finetune={epochs: 2}", "finetune={data: {name: digits}, groups: both}"])
def test_a_section_without_data_or_with_other_groups_is_refused(tiny_config, wrong):
    with pytest.raises(ConfigError, match=r"finetune\.(data|groups)"):
        tiny_config(wrong)


def test_a_pipeline_without_the_section_keeps_its_sum(tiny_config):
    plain, tuned = tiny_config(), tiny_config("finetune={data: {name: digits}}")
    assert plain.sha256() != tuned.sha256()
    assert tuned.finetune is not None
    assert tuned.model_copy(update={"finetune": None}).sha256() == plain.sha256()
