import json

import numpy as np
import pytest

from tfpwl.errors import ModelError
from tfpwl.wave import TemplateSet, load_templates, save_templates


@pytest.fixture
def templates():
    rng = np.random.default_rng(0)
    arrays = {"qkv": (3, 4, 4), "conv3x3": (2, 3, 3, 4, 8)}
    return TemplateSet(
        "vit", {kind: rng.normal(size=shape).astype("float32") for kind, shape in arrays.items()},
        {"teacher_g0_layer0_attention/query": np.ones((3, 2, 2), "float32")}, {"pipeline": "p"},
    )  # fmt: skip


@pytest.fixture
def path(templates, tmp_path):
    save_templates(templates, tmp_path / "t.npz")
    return tmp_path / "t.npz"


def rewrite(path, change_header=None, **arrays):
    with np.load(path) as file:
        parts = dict(file)
    if change_header is not None:
        header = json.loads(parts["header"].tobytes())
        change_header(header)
        parts["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **{**parts, **arrays})


def test_what_is_written_is_read(path, templates):
    read = load_templates(path, family="vit")
    assert (read.family, read.source, read.num_parameters) == ("vit", {"pipeline": "p"}, 3 * 16 + 2 * 9 * 32)
    for kind, value in templates.templates.items():
        np.testing.assert_array_equal(read.templates[kind], value)
    np.testing.assert_array_equal(*(side.scalers["teacher_g0_layer0_attention/query"] for side in (read, templates)))
    assert [p.name for p in path.parent.iterdir()] == ["t.npz"]  # no temporary file stays


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_short_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"is no whole template file .* may be cut short or damaged"):
        load_templates(path)


def test_a_flipped_byte_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="is no whole template file"):
        load_templates(path)


def test_another_family_is_refused(path):
    with pytest.raises(ModelError, match=r"templates for the family 'vit', and the model is a 'resnet'\. Condense"):
        load_templates(path, family="resnet")


def test_another_version_is_refused(path):
    rewrite(path, lambda header: header.update(version=2))
    with pytest.raises(ModelError, match="has version 2 of the template format, and this tfpwl reads version 1"):
        load_templates(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("family"),
        lambda header: header.update(templates={"qkv": [3, -4, 4]}),
        lambda header: header.update(templates=[]),
        lambda header: header.update(scalers={"x": [1, 2]}),
        lambda header: header.update(source=None),
    ],
)
def test_a_malformed_header_is_refused(path, change):
    rewrite(path, change)
    with pytest.raises(ModelError, match="lacks family, source, templates or scalers, or they are malformed"):
        load_templates(path)


def test_arrays_that_are_not_what_the_header_says_are_refused(path):
    for wrong in (np.zeros((3, 4, 5), "float32"), np.zeros((3, 4, 4)), np.full((3, 4, 4), np.nan, "float32")):
        rewrite(path, **{"templates/qkv": wrong})
        with pytest.raises(ModelError, match=r"templates 'qkv' are .*; the header says finite float32 of \[3, 4, 4\]"):
            load_templates(path)


def test_other_npz_files_and_missing_ones_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=np.zeros(3))
    with pytest.raises(ModelError, match=r"is an \.npz, but no template file of tfpwl"):
        load_templates(tmp_path / "data.npz")
    with pytest.raises(ModelError, match=r"No template file .*no\.npz\. Make one with `tfpwl wave condense"):
        load_templates(tmp_path / "no.npz")


def test_a_file_that_cannot_be_written_leaves_nothing(templates, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        save_templates(templates, tmp_path / "t.npz")
    assert list(tmp_path.iterdir()) == []
