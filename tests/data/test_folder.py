"""Folders of images, one sub-folder per class."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tfpwl.data import load_dataset
from tfpwl.errors import DataError, MissingDependencyError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def save(path: Path, shape: tuple[int, ...] = (6, 8, 3), mode: str | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return pixels


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for label in ("cat", "dog"):
        for i in range(10):
            save(tmp_path / "pets" / label / f"{i}.png")
    return tmp_path / "pets"


def test_sub_folders_are_classes_in_alphabetical_order(pets: Path) -> None:
    data = load_dataset(folder=pets)
    assert (data.name, data.labels, data.input_shape) == ("pets", ("cat", "dog"), (6, 8, 3))
    assert (len(data.train), len(data.val), len(data.test)) == (14, 2, 4)
    assert np.bincount(data.test.y).tolist() == [2, 2]


def test_train_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    for part, count in (("train", 8), ("test", 3)):
        for label in ("cat", "dog"):
            for i in range(count):
                save(tmp_path / part / label / f"{i}.png")
    expected = np.asarray(Image.open(tmp_path / "test" / "cat" / "0.png"))
    data = load_dataset(folder=tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (14, 2, 6)
    np.testing.assert_array_equal(data.test.x[0], expected)


def test_gray_images_have_one_channel_unless_one_has_colour(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for i in range(4):
            save(tmp_path / label / f"{i}.png", (6, 8))
    assert load_dataset(folder=tmp_path).input_shape == (6, 8, 1)
    save(tmp_path / "cat" / "colour.png")
    assert load_dataset(folder=tmp_path).input_shape == (6, 8, 3)


def test_palettes_transparency_and_other_files_are_fine(pets: Path) -> None:
    save(pets / "cat" / "palette.png", mode="P")
    save(pets / "cat" / "transparent.PNG", (6, 8, 4))
    (pets / "cat" / "notes.txt").write_text("not an image")
    (pets / "cat" / ".hidden.png").write_bytes(b"")
    (pets / ".git").mkdir()
    data = load_dataset(folder=pets)
    assert len(data.train) + len(data.val) + len(data.test) == 22


def test_photos_are_turned_upright(pets: Path) -> None:
    """EXIF orientation 6 (a phone held upright) swaps height and width."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((8, 6, 3), np.uint8)
    Image.fromarray(pixels).save(pets / "cat" / "phone.png", exif=exif)
    assert load_dataset(folder=pets).input_shape == (6, 8, 3)


def test_image_size_is_height_and_width(pets: Path) -> None:
    save(pets / "cat" / "large.png", (30, 20, 3))
    assert load_dataset(folder=pets, image_size=(4, 5)).input_shape == (4, 5, 3)


def test_progress_counts_every_image(pets: Path) -> None:
    seen: list[tuple[int, int]] = []
    load_dataset(folder=pets, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 20) for i in range(1, 21)]


def test_a_second_size_is_refused_by_file(pets: Path) -> None:
    save(pets / "dog" / "large.png", (30, 20, 3))
    with pytest.raises(DataError, match=r"large\.png \(class 'dog'\): is 30x20 .*0\.png is 6x8.*Give image_size"):
        load_dataset(folder=pets)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n broken"])
def test_an_unreadable_image_is_refused_by_file_and_class(pets: Path, content: bytes) -> None:
    (pets / "dog" / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png \(class 'dog'\): not a readable image"):
        load_dataset(folder=pets)


def test_an_image_cut_short_is_refused(pets: Path) -> None:
    whole = save(pets / "dog" / "cut.png", (64, 64, 3))
    assert whole.size
    data = (pets / "dog" / "cut.png").read_bytes()
    (pets / "dog" / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.png \(class 'dog'\): not a readable image"):
        load_dataset(folder=pets, image_size=(6, 8))


def test_an_empty_class_is_refused_by_name(pets: Path) -> None:
    (pets / "ferret").mkdir()
    with pytest.raises(DataError, match=r"pets: no training image of class 'ferret'"):
        load_dataset(folder=pets)


def test_folders_that_are_not_data_sets_are_refused(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such folder; expected one sub-folder per class"):
        load_dataset(folder=tmp_path / "gone")
    with pytest.raises(DataError, match=r"cat: no images in 0 sub-folders"):
        load_dataset(folder=pets / "cat")
    (pets / "train").mkdir()
    with pytest.raises(DataError, match=r"holds cat, dog, train; expected either one sub-folder per class, or exactly"):
        load_dataset(folder=pets)


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    for path in ("train/cat", "train/dog", "test/cat", "test/ferret"):
        save(tmp_path / path / "0.png")
    with pytest.raises(DataError, match=r"class 'ferret' has no training folder; expected one of cat, dog"):
        load_dataset(folder=tmp_path)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    for path in ("cat", "dog"):
        save(tmp_path / path / "0.png")
    with pytest.raises(DataError, match=r"2 images are too few; expected several of each class"):
        load_dataset(folder=tmp_path)


def test_missing_pillow_names_the_extra(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"Folders of images need Pillow: pip install 'tfpwl\[train\]'"):
        load_dataset(folder=pets)
