from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tfpwl.bundle import Preprocess, write_bundle
from tfpwl.cli.bundle_data import load_bundle_data, shuffled
from tfpwl.cli.image_files import as_raw, to_channels
from tfpwl.data import load_dataset
from tfpwl.errors import DataError


def _save_classes(folder, classes, count=5):
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (6, 6), 10 * index + number).save(folder / name / f"{number}.png")


def test_npz_of_a_pipeline_gives_its_test_split(tiny_bundle, tmp_path, labelled):
    x, y = labelled
    np.savez(tmp_path / "all.npz", x_train=x, y_train=y)
    data = load_bundle_data(str(tmp_path / "all.npz"), tiny_bundle)
    expected = load_dataset(npz=tmp_path / "all.npz").test
    np.testing.assert_array_equal(data.x, expected.x)
    np.testing.assert_array_equal(data.y, expected.y)


def test_npz_with_x_test_alone_is_taken_whole(tiny_bundle, tmp_path, labelled):
    np.savez(tmp_path / "t.npz", x_test=labelled[0][..., 0], y_test=labelled[1])
    data = load_bundle_data(str(tmp_path / "t.npz"), tiny_bundle)
    assert data.x.shape == (40, 6, 6, 1)
    np.testing.assert_array_equal(data.y, labelled[1])


def test_folder_of_classes_is_numbered_by_the_names_of_the_bundle(tiny_bundle, tmp_path):
    # Without bee, and so with other numbers than the bundle's if they were counted here.
    _save_classes(tmp_path / "pets", ["ant", "cat", "dog"])
    data = load_bundle_data(str(tmp_path / "pets"), tiny_bundle)
    assert sorted(data.y.tolist()) == [0, 2, 3]


def test_folder_with_a_test_part_gives_all_of_it(tiny_bundle, tmp_path):
    for part in ("train", "test"):
        _save_classes(tmp_path / "pets" / part, ["ant", "bee", "cat", "dog"], count=3)
    data = load_bundle_data(str(tmp_path / "pets"), tiny_bundle)
    assert len(data) == 12


def test_image_is_resized_and_made_gray(tiny_bundle, tmp_path):
    Image.new("RGBA", (50, 30), (255, 255, 255, 255)).save(tmp_path / "white.png")
    data = load_bundle_data(str(tmp_path / "white.png"), tiny_bundle)
    assert data.x.shape == (1, 6, 6, 1)
    # The tiny bundle takes pixels 0..16, as the handwritten digits are: white is 16, and 1 for the model.
    np.testing.assert_allclose(data.x, 16, rtol=1e-6)
    np.testing.assert_allclose(tiny_bundle.manifest.input.prepare(data.x), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("preprocess", "white"),
    [
        (Preprocess(1 / 255, (0.5,), (0.2,)), 255),
        (Preprocess(0.00392157, (0.5,), (0.2,)), 255),
        (Preprocess(1 / 16, (0.3,), (0.4,)), 16),
        (Preprocess(1.0, (0.5,), (0.2,)), 1),
        (Preprocess(1.0, (73.0,), (50.0,)), 255),
    ],
)
def test_pixels_of_files_come_in_the_range_of_the_training_images(preprocess, white):
    pixels = np.full((1, 2, 2, 1), 255, np.uint8)
    np.testing.assert_allclose(as_raw(pixels, preprocess), white, rtol=1e-6)


def test_gray_is_computed_as_pillow_does():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(to_channels(pixels[np.newaxis], 1)[0, ..., 0], expected)


def test_shuffling_keeps_images_labels_and_names_together(tiny_bundle, npz):
    data = load_bundle_data(str(npz), tiny_bundle)
    mixed = shuffled(data, 10)
    assert len(mixed) == len(mixed.y) == 10
    for x, y in zip(mixed.x, mixed.y, strict=True):
        index = next(i for i in range(len(data)) if np.array_equal(data.x[i], x))
        assert data.y[index] == y


def test_other_class_names_are_taken_by_number_with_a_note(tiny_bundle, tmp_path, labelled, capsys):
    np.savez(tmp_path / "o.npz", x_train=labelled[0], y_train=labelled[1], labels=["a", "b", "c", "d"])
    load_bundle_data(str(tmp_path / "o.npz"), tiny_bundle)
    note = "has the classes a, b, c, …, the bundle ant, bee, cat, …; they are taken by number"
    assert note in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digitz", "Did you mean 'digits'"),
        ("digits", r"holds 359 images of shape \[8, 8, 1\]; the bundle 'tiny' takes \[6, 6, 1\]"),
        ("no.npz", "no.npz: no such file"),
    ],
)
def test_unusable_source_is_refused(tiny_bundle, source, message):
    with pytest.raises(DataError, match=message):
        load_bundle_data(source, tiny_bundle)


def test_too_many_classes_are_refused(tiny_bundle, tmp_path, labelled):
    np.savez(tmp_path / "m.npz", x=labelled[0], y=np.arange(40) % 7)
    with pytest.raises(DataError, match="holds classes 0 to 6; the bundle has 4 \\(ant, bee, cat, …\\)"):
        load_bundle_data(str(tmp_path / "m.npz"), tiny_bundle)


def test_broken_files_are_refused(tiny_bundle, tmp_path):
    (tmp_path / "b.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b\.npz: not a readable \.npz"):
        load_bundle_data(str(tmp_path / "b.npz"), tiny_bundle)
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b\.png: not a readable image"):
        load_bundle_data(str(tmp_path / "b.png"), tiny_bundle)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no images"):
        load_bundle_data(str(tmp_path / "empty"), tiny_bundle)


def test_uint8_bundle_gets_pixels_as_they_are(tiny_bundle, labelled):
    found = replace(tiny_bundle.manifest.input, dtype="uint8").prepare(labelled[0])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, labelled[0])


def test_bundle_without_labels_takes_class_numbers(tmp_path, tiny_files, tiny_fields, npz, labelled):
    bundle = write_bundle(tmp_path / "plain", files=tiny_files, **{**tiny_fields, "labels": None})
    np.testing.assert_array_equal(load_bundle_data(str(npz), bundle).y, labelled[1])
