"""A pipeline whose teacher is somebody's Keras model: taken as it is, put back whole, and refused with the line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import given_models
import keras
import numpy as np
import pytest

from tfpwl.bundle import Bundle, verify
from tfpwl.config import load_config, parse_config
from tfpwl.data import load_dataset
from tfpwl.errors import ConfigError, DataError, ModelError
from tfpwl.pairs import load_side
from tfpwl.pipeline import build
from tfpwl.runtime import ProgressiveModel

# Lines count: errors name them.
PIPELINE = """name: given
data: {name: digits, limit: 200, augment: null, preprocess: {}}
teacher:
  keras: model.keras
  groups: 2
student: {derive: {width: 0.5, depth: 0.5}}
distill: {epochs: 2, batch_size: 32, optimizer: adamw, learning_rate: 0.003, clip_norm: 1.0}
evaluate: {workers: 1}
"""


@pytest.fixture(scope="session")
def model() -> keras.Model:
    return given_models.trained_classifier()


@pytest.fixture(scope="session")
def folder(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline beside the model, in both formats."""
    root = tmp_path_factory.mktemp("given")
    (root / "p.yaml").write_text(PIPELINE)
    given_models.saved(model, root)
    model.save(root / "model.h5")
    return root


def config_in(folder: Path, *overrides: str):
    return load_config(folder / "p.yaml", overrides)


@pytest.fixture(scope="session")
def given_build(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    return build(config_in(folder), tmp_path_factory.mktemp("given_build") / "out")


def answers(bundle: Bundle, mix: str, images: np.ndarray) -> np.ndarray:
    with ProgressiveModel.open(bundle) as runner:
        runner.upgrade(background=False)
        assert str(runner.mix) == mix
        return np.concatenate([runner.predict(runner.preprocess(image)) for image in images])


@pytest.mark.slow
def test_the_bundles_teacher_answers_as_the_given_model(given_build, model: keras.Model) -> None:
    images = load_dataset("digits").test.x[:50]
    got = answers(given_build.bundle, "TT", images)
    # Float32 through other kernels; probabilities are at most 1.
    np.testing.assert_allclose(got, np.asarray(model(images.astype("float32"))), atol=1e-5)
    assert given_build.bundle.manifest.output.kind == "probabilities"


@pytest.mark.slow
def test_the_bundle_keeps_every_contract_and_carries_the_preprocessing(given_build) -> None:
    bundle = given_build.bundle
    assert [check for check in verify(bundle) if not check.passed] == []
    assert (bundle.manifest.input.preprocess.scale, bundle.manifest.input.preprocess.mean) == (1.0, (0.0,))
    images = load_dataset("digits").test.x[:5]
    with ProgressiveModel.open(bundle) as runner:
        students = np.concatenate([runner.predict(runner.preprocess(image)) for image in images])
    np.testing.assert_allclose(students.sum(axis=-1), 1.0, atol=1e-6)  # the student ends in a softmax, too


@pytest.mark.slow
def test_the_teacher_is_not_trained_and_the_derived_student_is(given_build, model: keras.Model) -> None:
    data = load_dataset("digits")
    right = np.asarray(model(data.test.x.astype("float32"))).argmax(-1) == data.test.y
    assert given_build.report.teacher_accuracy == np.mean(right)
    assert given_build.metrics["train"]["given_accuracy"] == np.mean(right)
    assert given_build.metrics["train"]["epochs"] == []
    assert given_build.report.student_params < given_build.report.teacher_params
    # Two epochs on 200 images from the teacher's own channels; guessing gives 10 %.
    assert given_build.report.path[0].accuracy > 0.3
    assert [block["dropped"] for block in given_build.metrics["distill"]["derived"]["blocks"]].count(True) == 1
    assert given_build.report.notes == ()


@pytest.mark.slow
def test_only_the_content_of_the_model_counts(given_build, folder: Path, recorder, tmp_path: Path) -> None:
    out = shutil.copytree(given_build.output, tmp_path / "out")
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    same = recorder()
    build(config_in(elsewhere), out, until="distill", reporter=same)
    assert (same.ran, same.cached) == ([], ["train", "distill"])
    given_models.saved(given_models.classifier(), elsewhere)
    other = recorder()
    build(config_in(elsewhere), out, until="train", reporter=other)
    assert other.ran == ["train"]


def test_a_legacy_file_gives_the_same_groups(folder: Path, tmp_path: Path) -> None:
    first = build(config_in(folder), tmp_path, until="train")
    second = build(config_in(folder, "teacher.keras=" + str(folder / "model.h5")), tmp_path, until="train")
    for a, b in zip(*(load_side(built.artifacts["train"], "teacher") for built in (first, second)), strict=True):
        assert [w.shape for w in a.weights] == [w.shape for w in b.weights]
        for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_teacher_is_fine_tuned_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    fit = "teacher.train={epochs: 1, batch_size: 50, optimizer: adamw, learning_rate: 0.001}"
    tuned = build(config_in(folder, fit), tmp_path, until="train")
    whole = build(config_in(folder), tmp_path, until="train")
    assert len(tuned.metrics["train"]["epochs"]) == 1
    assert tuned.metrics["train"]["given_accuracy"] == whole.metrics["train"]["test_accuracy"]
    kernels = [load_side(one.artifacts["train"], "teacher")[0].get_weights()[0] for one in (tuned, whole)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


def test_a_teacher_at_chance_level_is_most_likely_a_wrong_preprocess(folder: Path, tmp_path: Path) -> None:
    said = build(config_in(folder, "data.preprocess.scale=1e-4"), tmp_path, until="train").metrics["train"]["notes"]
    assert len(said) == 1
    assert "no better than guessing among 10 classes. Most likely it wants other input" in said[0]
    assert "data.preprocess`: `preprocess:` gives (raw × 0.0001 - 0) / 1" in said[0]
    assert build(config_in(folder), tmp_path, until="train").metrics["train"]["notes"] == []


def test_free_sizes_become_those_of_the_data(folder: Path, tmp_path: Path) -> None:
    path = given_models.saved(given_models.of_any_size(), tmp_path)
    built = build(config_in(folder, f"teacher.keras={path}"), tmp_path / "out", until="train")
    assert load_side(built.artifacts["train"], "teacher")[0].input_shape == (None, 8, 8, 1)


@pytest.mark.parametrize(
    ("make", "overrides", "message"),
    [
        (given_models.with_lambda, (), r"p\.yaml:4: `teacher\.keras`: .* holds a Lambda layer: .*refuses it"),
        (given_models.subclassed, (), r"p\.yaml:4: `teacher\.keras`: Model .* a subclassed model"),
        (given_models.of_vectors, (), r"p\.yaml:4: `teacher\.keras`: The model takes \(64\); expected images"),
        (given_models.of_two_images, (), r"p\.yaml:4: .*2 inputs and 1 outputs; expected an image classifier"),
        (given_models.of_bytes, (), r"p\.yaml:4: .*maps uint8 to float32; expected float32 at both ends"),
        (given_models.of_maps, (), r"p\.yaml:4: .*answers with \(4, 4, 10\) and the data have 10 classes"),
        (lambda: given_models.classifier(classes=7), (), r"p\.yaml:4: .*answers with \(7\) and the data have 10 c"),
        (
            lambda: given_models.classifier(shape=(16, 16, 3)),
            (),
            r"p\.yaml:4: .*takes \(16, 16, 3\) and the data are \(8, 8, 1\); .*`channels: 3`",
        ),
        (lambda: given_models.classifier("sigmoid"), (), r"p\.yaml:4: .*ends in sigmoid, layer 'classes'; expected"),
        (
            given_models.classifier,
            ("teacher.groups=30",),
            r"--set teacher\.groups=30: `teacher\.groups`: 30 groups need 29 cut points, and the model has \d+",
        ),
        (
            given_models.classifier,
            ("teacher.groups=null", "teacher.cuts=[block0_conv]"),
            r"`teacher\.cuts`: .*cannot be cut after 'block0_conv': 'stem_relu' bypasses it.*Nearest cut points: "
            r"'stem_relu' and 'add0'",
        ),
        (
            given_models.shared,
            ("teacher.groups=null", "teacher.cuts=[between]"),
            r"`teacher\.cuts`: .*cannot be cut after 'between': a layer with weights is called on both sides",
        ),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_refused_with_its_line(make, overrides, message, folder, tmp_path) -> None:
    shutil.copy(folder / "p.yaml", tmp_path)
    given_models.saved(make(), tmp_path)
    with pytest.raises(ModelError, match=message):
        build(config_in(tmp_path, *overrides), tmp_path / "out", until="train")


def test_a_missing_file_and_one_that_is_no_model(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "p.yaml", tmp_path)
    with pytest.raises(ModelError, match=r"p\.yaml:4: `teacher\.keras`: .*cannot be read \(No such file"):
        build(config_in(tmp_path), tmp_path / "out", until="train")
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ModelError, match=r"p\.yaml:4: `teacher\.keras`: .*cannot be read as a Keras model"):
        build(config_in(tmp_path), tmp_path / "out", until="train")


def test_a_student_that_does_not_meet_the_given_teacher(folder: Path, tmp_path: Path) -> None:
    other = ("student={family: vgg, widths: [4, 6], depths: [1, 1]}", "teacher.groups=null", "teacher.cuts=[add0]")
    with pytest.raises(ModelError, match=r"Boundary 0: the student's feature has shape \(4, 4, 4\)"):
        build(config_in(folder, *other), tmp_path, until="train")


def test_grey_images_for_a_teacher_that_wants_colour(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "p.yaml", tmp_path)
    given_models.saved(given_models.classifier(shape=(8, 8, 3)), tmp_path)
    built = build(config_in(tmp_path, "data.channels=3"), tmp_path / "out", until="train")
    assert load_side(built.artifacts["train"], "teacher")[0].input_shape == (None, 8, 8, 3)


MINIMAL = "name: demo\ndata: {name: digits}\nteacher: {keras: m.keras, groups: 2}\n"
DERIVED = MINIMAL + "student: {derive: {}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL, r"p\.yaml:1: `student`: the teacher is a model of no family; expected `derive:"),
        (MINIMAL + "student: {family: lenet5, init: select}\n", r"p\.yaml:4: `student`: `init: select` needs a"),
        (MINIMAL + "student: {derive: {width: 0.5}, depths: [1]}\n", r"p\.yaml:4: `student`: .*remove depths"),
        (MINIMAL + "student: {derive: {width: 0}}\n", r"p\.yaml:4: `student\.derive\.width`: .*greater than 0"),
        (MINIMAL + "student: {derive: {widht: 1}}\n", r"unknown key `student\.derive\.widht`; did you mean `width`"),
        (MINIMAL.replace("groups: 2", "groups: 2, cuts: [a]"), r"p\.yaml:3: `teacher`: .*either `groups: N` or `cuts:"),
        (MINIMAL.replace(", groups: 2", ""), r"p\.yaml:3: `teacher`: .*either `groups: N` or `cuts:"),
        (MINIMAL.replace("groups: 2", "groups: 2, widths: [4]"), r"p\.yaml:3: `teacher`: widths describes a family"),
        (MINIMAL.replace("keras: m.keras, groups: 2", "family: lenet5, cuts: [a]"), r"`cuts:` cuts a model given by"),
        (MINIMAL.replace("digits", "digits, preprocess: {std: 0}"), r"`data\.preprocess`: scale and std may not be 0"),
        (MINIMAL.replace("digits", "digits, preprocess: {mean: [1, 2], std: [1, 1, 1]}"), "2 numbers as mean and 3"),
        (DERIVED + "prune: {target: {flops: 1}}\n", r"p\.yaml:5: `prune\.target\.flops`: .*less than 1"),
        (DERIVED + "prune: {target: {}}\n", r"p\.yaml:5: `prune\.target`: received none; expected one of"),
        (DERIVED + "prune: {target: {flops: 0.1, params: 0.2}}\n", "received flops and params"),
        (DERIVED + "prune: {steps: 2}\n", r"p\.yaml:5: key `prune\.target` is missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_configuration_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(text, source="p.yaml")


def test_preprocess_has_one_number_or_one_per_channel() -> None:
    config = parse_config(
        MINIMAL.replace("digits", "digits, preprocess: {mean: [1, 2, 3]}") + "student: {derive: {}}\n"
    )
    with pytest.raises(DataError, match="preprocess has 3 numbers as mean or std; expected 1, or 1, one per channel"):
        build(config, "unused", until="train")


def test_what_was_no_key_before_is_in_no_sum() -> None:
    """Stage keys and the sum in a manifest stay as they were for pipelines without the new keys."""
    fields = json.loads(parse_config("name: a\ndata: {name: digits}\nteacher: {family: lenet5}\n").model_dump_json())
    assert {"keras", "cuts"}.isdisjoint(fields["teacher"])
    assert fields["teacher"]["train"]["epochs"] == 160
    assert {"channels", "preprocess"}.isdisjoint(fields["data"])
    assert "derive" not in fields["student"]
