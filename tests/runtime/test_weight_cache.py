from __future__ import annotations

import os

import numpy as np
import pytest

from tfpwl.errors import EngineError
from tfpwl.runtime import LiteRtEngine, ProgressiveModel, make_engine
from tfpwl.runtime.weight_cache import SUFFIX, WeightCache

X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
WAIT_S = 60


def packed_files(folder):
    return sorted(folder.glob(f"*{SUFFIX}"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def filled(tiny_bundle, folder):
    """A cache that a first process has filled, and what the bundle answers."""
    engine = LiteRtEngine(cache_dir=folder)
    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        answers = [model.predict(X)]
        model.upgrade(background=False)
        answers.append(model.predict(X))
    while not engine.cache.wait(WAIT_S):
        pass
    return answers


def answers_through(tiny_bundle, folder):
    engine = LiteRtEngine(cache_dir=folder)
    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        answers = [model.predict(X)]
        model.upgrade(background=False)
        answers.append(model.predict(X))
    assert engine.cache.wait(WAIT_S)
    return answers


def test_packed_weights_are_made_in_the_background_and_used_by_the_next_one(tiny_bundle, folder, filled):
    # Groups without weights (pooling) pack nothing, so not each of the files that ran has one.
    made = packed_files(folder)
    assert made
    times = [path.stat().st_mtime_ns for path in made]
    np.testing.assert_array_equal(answers_through(tiny_bundle, folder), filled)
    assert [path.stat().st_mtime_ns for path in packed_files(folder)] == times
    assert not list(folder.glob("*.tmp"))
    assert (folder.stat().st_mode & 0o777) == 0o700


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        link,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-8]),
        lambda path: path.chmod(0o666),
        lambda path: path.with_name(path.name + ".sha256").unlink(),
        lambda path: path.with_name(path.name + ".sha256").write_bytes(b"\xff"),
    ],
    ids=["flipped", "link", "empty", "cut", "writable", "no sum", "broken sum"],
)
def test_packed_weights_that_are_not_ours_are_thrown_away_and_made_again(tiny_bundle, folder, filled, damage, caplog):
    made = packed_files(folder)
    for path in made:
        damage(path)
    np.testing.assert_array_equal(answers_through(tiny_bundle, folder), filled)
    assert caplog.text.count("Threw away the packed weights") == len(made)
    assert packed_files(folder) == made
    cache = WeightCache(folder, "2.3.0")
    assert not any(path.is_symlink() for path in made)
    assert cache.wait(0)


def test_weights_packed_by_another_runtime_are_not_taken(folder):
    one, other = WeightCache(folder, "2.3.0"), WeightCache(folder, "2.4.0")
    assert one.path("0" * 64) != other.path("0" * 64)


def test_a_model_without_its_sum_is_loaded_without_the_cache(tiny_files, folder):
    engine = make_engine("litert", cache_dir=folder)
    assert engine.load(tiny_files["g0.student"], threads=1)(X).shape == (1, 6, 6, 3)
    assert packed_files(folder) == []


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="Cannot make the cache_dir"):
        LiteRtEngine(cache_dir=tmp_path / "file")
    with pytest.raises(EngineError, match="quotes, backslashes and line ends"):
        LiteRtEngine(cache_dir=tmp_path / 'a"b')
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(EngineError, match="only this user may write"):
        LiteRtEngine(cache_dir=open_to_all)


def test_a_cache_that_cannot_be_written_keeps_nobody_from_answering(tiny_bundle, folder, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert len(answers_through(tiny_bundle, folder)) == 2
    assert "No space left on device" in caplog.text
    assert list(folder.iterdir()) == []
