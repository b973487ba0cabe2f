"""Data sets from names, .npz files and functions; what cannot be used is refused by file and class."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfpwl.data import LABELS, Dataset, load_dataset, sources
from tfpwl.errors import DataError, MissingDependencyError

RNG = np.random.default_rng(0)


def arrays(num: int = 40, shape: tuple[int, ...] = (4, 5, 3), classes: int = 2) -> dict[str, Any]:
    return {
        "x_train": RNG.integers(0, 256, (num, *shape), dtype=np.uint8),
        "y_train": np.arange(num) % classes,
        "x_test": RNG.integers(0, 256, (num // 2, *shape), dtype=np.uint8),
        "y_test": np.arange(num // 2) % classes,
    }


def write(path: Path, **changes: Any) -> Path:
    np.savez(path, **{**arrays(), **changes})
    return path


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def rows(x: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in x}


class TestDigits:
    def test_are_whole_and_raw(self, digits: Dataset) -> None:
        assert len(digits.train) + len(digits.val) + len(digits.test) == 1797
        assert digits.train.x.dtype == np.uint8
        assert digits.train.x.max() == 16
        assert digits.input_shape == (8, 8, 1)
        assert digits.labels == tuple("0123456789")

    def test_preprocessing_standardises_the_training_images(self, digits: Dataset) -> None:
        assert digits.preprocess.scale == 1 / 16
        x = digits.preprocess(digits.train.x)
        # Mean and std are rounded to four decimals: at most 5e-5 of about 0.38 is lost.
        assert abs(float(x.mean())) < 2e-4
        assert float(x.std()) == pytest.approx(1, abs=2e-4)

    def test_splits_share_no_image(self, digits: Dataset) -> None:
        # No two of the 1,797 digits are equal, so equal pixels would be the same image.
        train, val, test = rows(digits.train.x), rows(digits.val.x), rows(digits.test.x)
        assert not train & val
        assert not train & test
        assert not val & test

    def test_test_set_stays_the_same_whatever_the_seed(self, digits: Dataset) -> None:
        other = load_dataset("digits", seed=1)
        np.testing.assert_array_equal(other.test.x, digits.test.x)
        assert rows(other.val.x) != rows(digits.val.x)

    def test_classes_keep_their_shares(self, digits: Dataset) -> None:
        everything = np.concatenate([digits.train.y, digits.val.y, digits.test.y])
        share = np.bincount(digits.test.y) / np.bincount(everything)
        # One image of a class of 174 or more is 0.6 %.
        np.testing.assert_allclose(share, 0.2, atol=0.006)

    def test_limit_takes_the_first_of_the_shuffled_training_images(self, digits: Dataset) -> None:
        limited = load_dataset("digits", limit=300)
        np.testing.assert_array_equal(limited.train.x, digits.train.x[:300])
        np.testing.assert_array_equal(limited.val.x, digits.val.x)


def test_digest_changes_with_every_part_and_with_nothing_else(digits: Dataset) -> None:
    assert load_dataset("digits").digest() == digits.digest()
    changed = [
        replace(digits, train=digits.val),
        replace(digits, val=digits.test),
        replace(digits, labels=tuple("abcdefghij")),
        replace(digits, preprocess=replace(digits.preprocess, scale=1.0)),
        replace(digits, train=replace(digits.train, y=digits.train.y[::-1])),
    ]
    assert len({digits.digest(), *(data.digest() for data in changed)}) == 1 + len(changed)


@pytest.mark.skipif(not sources.FASHION_MNIST_FOLDER.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_fashion_mnist_comes_from_the_debian_package() -> None:
    data = load_dataset("fashion_mnist", limit=1000)
    assert data.train.x.shape == (1000, 28, 28, 1)
    assert (len(data.val), len(data.test)) == (6000, 10000)
    # The first test image of Fashion-MNIST is an ankle boot.
    assert data.labels[data.test.y[0]] == "ankle boot"


def idx(values: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(b"\0\0\x08" + bytes([values.ndim]) + sizes + values.tobytes())


def test_idx_files_are_read_with_their_shape(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (tmp_path / "a.gz").write_bytes(idx(values))
    np.testing.assert_array_equal(sources.read_idx(tmp_path / "a.gz"), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.gz: no such file\. On Debian: apt-get install dataset-fashion-mnist"),
        (b"not gzip", r"a\.gz: not a readable \.gz file"),
        (idx(np.zeros((3, 4), np.uint8))[:20], r"a\.gz: not a readable \.gz file"),
        (gzip.compress(b"GIF8"), r"a\.gz: starts with b'GIF8'; expected an IDX file"),
        (gzip.compress(b"\0\0\x08\x02\0\0"), r"a\.gz: holds 0 bytes for shape \(\)"),
        (gzip.compress(gzip.decompress(idx(np.zeros((3, 4), np.uint8)))[:-1]), r"holds 11 bytes for shape \(3, 4\)"),
    ],
    # By name: gzip writes the time into what it makes, and test processes must agree on the names of tests.
    ids=["missing", "not gzip", "cut short", "not IDX", "no sizes", "a byte too few"],
)
def test_broken_idx_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        sources.read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_named_sets_load_from_a_local_npz(tmp_path: Path, name: str) -> None:
    shape = (32, 32, 3) if "cifar" in name else (28, 28)
    num_classes = len(LABELS[name])
    content = arrays(num_classes * 4, shape, num_classes)
    np.savez(tmp_path / "local.npz", **content)
    data = load_dataset(name, path=tmp_path / "local.npz", validation=0.25)
    assert data.name == name
    assert data.labels == LABELS[name]
    assert len(data.labels) == len(set(data.labels)) == num_classes
    assert data.input_shape == (*shape, 1)[:3]
    assert len(data.val) == num_classes
    np.testing.assert_array_equal(data.test.x.reshape(content["x_test"].shape), content["x_test"])


def test_a_failed_download_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras import datasets  # heavy, for this test alone

    def fail() -> None:
        raise Exception("URL fetch failure on https://…: None -- unknown host")  # as keras.utils.get_file does

    monkeypatch.setattr(datasets.mnist, "load_data", fail)
    with pytest.raises(DataError, match=r"Cannot load 'mnist'.*URL fetch failure.*give path: a local \.npz"):
        load_dataset("mnist")


def test_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"'digits' needs scikit-learn: pip install 'tfpwl\[train\]'"):
        load_dataset("digits")


class TestNpz:
    def test_labels_name_the_classes(self, tmp_path: Path) -> None:
        data = load_dataset(npz=write(tmp_path / "pets.npz", labels=np.array(["cat", "dog"])))
        assert (data.name, data.labels) == ("pets", ("cat", "dog"))

    def test_classes_are_numbered_without_labels(self, tmp_path: Path) -> None:
        assert load_dataset(npz=write(tmp_path / "a.npz")).labels == ("0", "1")

    def test_without_a_test_set_a_fifth_becomes_one(self, tmp_path: Path) -> None:
        content = arrays(50)
        np.savez(tmp_path / "a.npz", x_train=content["x_train"], y_train=content["y_train"])
        data = load_dataset(npz=tmp_path / "a.npz")
        assert (len(data.train), len(data.val), len(data.test)) == (36, 4, 10)

    def test_gray_images_gain_a_channel_and_columns_of_labels_become_a_row(self, tmp_path: Path) -> None:
        content = arrays(shape=(4, 5))
        np.savez(tmp_path / "a.npz", **{**content, "y_train": content["y_train"][:, None]})
        data = load_dataset(npz=tmp_path / "a.npz")
        assert data.input_shape == (4, 5, 1)
        assert data.train.y.shape == (len(data.train),)

    def test_uint8_statistics_are_per_channel_and_rounded(self, tmp_path: Path) -> None:
        data = load_dataset(npz=write(tmp_path / "a.npz"))
        scaled = data.train.x / 255
        assert data.preprocess.mean == tuple(np.round(scaled.mean((0, 1, 2)), 4).tolist())
        assert data.preprocess.std == tuple(np.round(scaled.std((0, 1, 2)), 4).tolist())

    def test_float_images_keep_their_range_and_a_constant_channel_stays_finite(self, tmp_path: Path) -> None:
        x = RNG.normal(5, 1e-4, (40, 4, 5, 2))
        x[..., 1] = 3
        data = load_dataset(npz=write(tmp_path / "a.npz", x_train=x, x_test=x[:20]))
        assert data.train.x.dtype == np.float32
        assert data.preprocess.scale == 1
        z = data.preprocess(data.train.x)
        assert np.isfinite(z).all()
        # float32 images around 5 resolve 5e-7, and the mean keeps six digits: 5e-6, a twentieth of the deviation.
        assert float(z[..., 0].std()) == pytest.approx(1, abs=0.1)
        assert data.preprocess.std[1] == 1

    def test_whole_numbers_of_other_dtypes_become_uint8(self, tmp_path: Path) -> None:
        content = arrays()
        wide: dict[str, Any] = {k: v.astype(np.int64) for k, v in content.items()}
        np.savez(tmp_path / "a.npz", **wide)
        assert load_dataset(npz=tmp_path / "a.npz").train.x.dtype == np.uint8


NAN = arrays()["x_train"].astype(np.float32)
NAN[7, 0, 0, 0] = np.nan
REFUSED_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"x_train": np.zeros((40, 3), np.uint8)}, r"a\.npz: x_train has shape \(40, 3\); expected \(images, height"),
    ({"x_train": np.zeros((40, 4, 0, 3), np.uint8)}, r"a\.npz: x_train has shape \(40, 4, 0, 3\)"),
    (
        {"x_train": np.zeros((39, 4, 5, 3), np.uint8)},
        r"x_train holds 39 images and y_train 40 labels; expected as many",
    ),
    ({"x_test": np.zeros((20, 4, 4, 3), np.uint8)}, r"shape \(4, 5, 3\) and x_test of shape \(4, 4, 3\)"),
    ({"x_test": np.zeros((20, 4, 5, 3), np.float32)}, r"x_train is uint8 and x_test is float32; expected one dtype"),
    ({"x_train": np.full((40, 4, 5, 3), 300)}, r"x_train is int64 from 300 to 300; expected uint8 from 0 to 255"),
    ({"x_train": np.full((40, 4, 5, 3), "a")}, r"x_train is <U1; expected uint8"),
    (
        {"x_train": NAN, "labels": np.array(["cat", "dog"])},
        r"a\.npz: x_train\[7\] \(class 'dog'\) holds NaN or Inf, as do 0 further images",
    ),
    ({"y_train": np.eye(2)[np.arange(40) % 2]}, r"y_train has shape \(40, 2\).*argmax"),
    ({"y_train": np.arange(40) % 2 + 0.5}, r"y_train holds the label 0\.5 \(float64\); expected whole numbers"),
    ({"y_train": np.array(["cat", "dog"] * 20)}, r"y_train holds the label 'cat' \(<U3\)"),
    ({"y_train": np.arange(40) % 2 - 1}, r"y_train\[0\] is class -1; expected 0 to"),
    ({"y_test": np.full(20, 2)}, r"y_test\[0\] is class 2; expected 0 to 1, because the training set has 2 classes"),
    ({"y_train": np.arange(40) % 2 * 2}, r"a\.npz: no training image of class '1'; .*renumber the classes"),
    ({"labels": np.array(["a", "b", "c"])}, r"no training image of class 'c'"),
    ({"y_train": np.zeros(40, int), "y_test": np.zeros(20, int)}, r"only one class \('0'\)"),
    ({"x_test": np.zeros((0, 4, 5, 3), np.uint8), "y_test": np.zeros(0, int)}, r"the test set is empty"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED_ARRAYS)
def test_unusable_arrays_are_refused_by_file_and_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(npz=write(tmp_path / "a.npz", **changes))


def test_unreadable_npz_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.npz: no such file"):
        load_dataset(npz=tmp_path / "gone.npz")
    with pytest.raises(DataError, match=r": not a readable \.npz"):
        load_dataset(npz=tmp_path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"text\.npz: not a readable \.npz"):
        load_dataset(npz=tmp_path / "text.npz")
    whole = write(tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.npz: not a readable \.npz"):
        load_dataset(npz=tmp_path / "cut.npz")
    np.savez(tmp_path / "pickled.npz", **arrays() | {"x_train": np.array([{}], object)})
    with pytest.raises(DataError, match=r"pickled\.npz: not a readable \.npz"):
        load_dataset(npz=tmp_path / "pickled.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"one\.npy: a single array"):
        load_dataset(npz=tmp_path / "one.npy")
    np.savez(tmp_path / "part.npz", x_train=arrays()["x_train"])
    with pytest.raises(DataError, match=r"part\.npz: lacks y_train, holds x_train"):
        load_dataset(npz=tmp_path / "part.npz")
    np.savez(tmp_path / "half.npz", **{k: v for k, v in arrays().items() if k != "y_test"})
    with pytest.raises(DataError, match=r"half\.npz: lacks y_test"):
        load_dataset(npz=tmp_path / "half.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"Received no source; expected exactly one of name, folder, npz, python"),
        ({"name": "digits", "npz": "a.npz"}, r"Received name and npz"),
        ({"name": "fashion-mnist"}, r"Unknown data set 'fashion-mnist'.*Did you mean 'fashion_mnist'\?"),
        ({"name": "imagenet_21k"}, r"For own data use folder, npz or python"),
        ({"name": "digits", "path": "a.npz"}, r"Received path without the name of a downloaded set"),
        ({"npz": "a.npz", "path": "a.npz"}, r"Received path without the name"),
        ({"name": "digits", "image_size": (8, 8)}, r"image_size=\(8, 8\) with name; only folder resizes"),
        ({"name": "digits", "validation": 0}, r"validation=0; expected a share"),
        ({"name": "digits", "validation": 1.0}, r"validation=1\.0"),
        ({"name": "digits", "limit": 0}, r"limit=0; expected at least one"),
        ({"name": "digits", "limit": 3}, r"digits: limit=3 leaves no training image of class '.'.*Raise limit"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(**arguments)


class TestPython:
    @pytest.fixture(autouse=True)
    def _module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "my_pets_module.py").write_text(
            "import numpy as np\n"
            "from tfpwl.data import load_dataset\n"
            "x, y = np.zeros((20, 4, 4), 'uint8'), np.arange(20) % 2\n"
            "def load(): return (x, y), (x[:6], y[:6])\n"
            "def whole(): return load_dataset('digits')\n"
            "def three(): return 1, 2, 3\n"
            "def nothing(): return None\n"
            "def broken(): return {}['images']\n"
            "number = 3\n"
        )
        (tmp_path / "antigravity_of_mine.py").write_text("undefined\n")
        monkeypatch.delitem(sys.modules, "my_pets_module", raising=False)

    def test_a_function_may_return_arrays(self) -> None:
        data = load_dataset(python="my_pets_module:load")
        assert (len(data.train), len(data.val), len(data.test)) == (18, 2, 6)

    def test_a_function_may_return_a_dataset(self) -> None:
        assert len(load_dataset(python="my_pets_module:whole", limit=100).train) == 100

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("my_pets_module", r"python: 'my_pets_module'; expected 'module:function'"),
            (":load", r"expected 'module:function'"),
            ("my_pets_modul:load", r"Cannot import 'my_pets_modul'.*PYTHONPATH"),
            ("my_pets_module:lod", r"my_pets_module\.py\) has no function 'lod'"),
            ("my_pets_module:number", r"has no function 'number'"),
            ("my_pets_module:three", r"my_pets_module:three returned tuple; expected \(\(x_train"),
            ("my_pets_module:nothing", r"returned NoneType"),
            ("my_pets_module:broken", r"my_pets_module:broken raised KeyError: 'images' \(.*my_pets_module\.py:8\)"),
            ("antigravity_of_mine:load", r"Importing 'antigravity_of_mine'.*NameError.*antigravity_of_mine\.py:1"),
        ],
    )
    def test_what_is_no_such_function_is_refused(self, spec: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            load_dataset(python=spec)


def test_loading_data_needs_neither_tensorflow_nor_keras() -> None:
    script = (
        "import sys; from tfpwl.data import load_dataset; load_dataset('digits')\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
