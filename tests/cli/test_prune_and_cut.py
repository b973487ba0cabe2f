"""``tfpwl prune`` and ``tfpwl cut`` on files."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
from keras import layers as L

from tfpwl.export import export_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(32, 3, name="a", activation="relu")(inputs)
    y = L.Conv2D(32, 3, padding="same", name="inside")(x)
    x = L.GlobalAveragePooling2D(name="pool")(L.Add(name="add")([x, y]))
    keras.Model(inputs, L.Dense(4, name="logits")(x), name="m").save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def test_prune_writes_a_smaller_model(tfpwl, saved: Path, tmp_path: Path) -> None:
    result = tfpwl("prune", saved, "--ratio", 0.5, "-o", tmp_path / "small.keras")
    assert result.code == 0, result.err
    assert "1 of 1 channel groups were pruned" in result.out
    assert keras.saving.load_model(tmp_path / "small.keras").get_layer("a").filters == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.keras", "small.keras"]


def test_prune_reports_as_json(tfpwl, saved: Path, tmp_path: Path) -> None:
    result = tfpwl("prune", saved, "-o", tmp_path / "small.keras", "--json", "--target", "params")
    report = json.loads(result.out)
    assert report["params_after"] <= report["params_before"] / 2
    assert report["kept"]["a"] == 16


def test_a_target_has_its_ratio_with_it(tfpwl, saved: Path, tmp_path: Path) -> None:
    report = json.loads(tfpwl("prune", saved, "-o", tmp_path / "a.keras", "--json", "--target", "flops=0.7").out)
    assert report["flops_after"] <= 0.3 * report["flops_before"]
    assert report["measured"] is None


def test_bytes_are_those_of_the_file(tfpwl, saved: Path, tmp_path: Path) -> None:
    result = tfpwl("prune", saved, "-o", tmp_path / "a.keras", "--target", "bytes=0.4", "--round-to", 1)
    assert result.code == 0, result.err
    assert "% less (of the .tflite file)" in result.out
    whole, smaller = (keras.saving.load_model(path) for path in (saved, tmp_path / "a.keras"))
    assert len(export_model(smaller)) <= 0.6 * len(export_model(whole))


def test_prune_takes_a_legacy_file(tfpwl, saved: Path, tmp_path: Path) -> None:
    keras.saving.load_model(saved).save(tmp_path / "m.h5")
    assert tfpwl("prune", tmp_path / "m.h5", "-o", tmp_path / "small.keras").code == 0


def test_prune_leaves_a_file_that_is_there(tfpwl, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    result = tfpwl("prune", saved, "-o", saved)
    assert (result.code, saved.read_bytes()) == (2, before)
    assert "give --force to replace it" in result.err
    assert tfpwl("prune", saved, "-o", saved, "--force").code == 0


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_is_refused_and_said_so(tfpwl, tmp_path: Path, suffix: str) -> None:
    inputs = keras.Input((4,))
    path = tmp_path / f"lambda.{suffix}"
    keras.Model(inputs, L.Lambda(lambda x: 2 * x)(inputs)).save(path)
    for command in (("cut", path, "--groups", 1), ("prune", path, "-o", tmp_path / "o.keras")):
        result = tfpwl(*command)
        assert result.code == 2
        assert "holds a Lambda layer" in result.err
        assert "safe loading refuses it" in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", "nope.keras", "-o", "o.keras"), "There is no file"),
        (("prune", "{saved}", "-o", "o.txt"), "ends in .keras"),
        (("prune", "{saved}", "-o", "o.keras", "--ratio", "1"), "Received ratio 1.0"),
        (("prune", "{saved}", "-o", "o.keras", "--target", "speed"), "Unknown target 'speed'; expected one of flops"),
        (("prune", "{saved}", "-o", "o.keras", "--target", "flops=much"), "expected KIND=RATIO such as flops=0.5"),
        (("prune", "{saved}", "-o", "o.keras", "--target", "flops=0.5", "--ratio", "0.5"), "Give the ratio once"),
        (("prune", "{saved}", "-o", "o.keras", "--target", "bytes=0.99"), "99 % of the bytes cannot be taken away"),
        (("cut", "{saved}"), "Give either --groups N or --at LAYER"),
        (("cut", "{saved}", "--groups", "2", "--at", "a"), "Give either"),
        (("cut", "{saved}", "--groups", "7"), "7 groups need 6 cut points"),
        (("cut", "{saved}", "--at", "inside"), "'a' bypasses it, read further on by 'add'"),
    ],
)
def test_wrong_use(tfpwl, saved: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = tfpwl(*(argument.format(saved=saved) for argument in arguments))
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "o.keras").exists()


def test_a_file_that_is_no_model(tfpwl, tmp_path: Path) -> None:
    for name in ("broken.keras", "broken.h5"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not a zip")
        result = tfpwl("cut", tmp_path / name, "--groups", 2)
        assert result.code == 2
        assert "cannot be read as a Keras model" in result.err


def test_cut_shows_groups(tfpwl, saved: Path) -> None:
    result = tfpwl("cut", saved, "--groups", 2, "--points")
    assert result.code == 0, result.err
    assert "cuts: [a]" in result.out
    assert "add  6×6×32" in result.out


def test_cut_reports_as_json(tfpwl, saved: Path) -> None:
    plan = json.loads(tfpwl("cut", saved, "--at", "pool", "--json").out)
    assert [group["last"] for group in plan["groups"]] == ["pool", "logits"]
    assert plan["groups"][1]["bytes"] == 4 * (32 * 4 + 4)
    assert plan["groups"][1]["flops"] == 2 * 32 * 4
