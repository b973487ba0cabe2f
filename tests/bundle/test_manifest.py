from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfpwl import mix as mixes
from tfpwl.bundle import (
    BoundaryEntry,
    FileEntry,
    GroupEntry,
    InputSpec,
    Manifest,
    OutputSpec,
    Preprocess,
    Producer,
    Requires,
    RuntimeHints,
    TensorSpec,
)
from tfpwl.bundle.manifest import MAX_MANIFEST_BYTES
from tfpwl.errors import ManifestError

SHA = "0123456789abcdef" * 4


def entry(name: str, size: int = 10) -> dict:
    return {"file": name, "bytes": size, "sha256": SHA}


def side(channels: int) -> dict:
    return {"shape": [1, 6, 6, channels], "dtype": "int8", "scale": 0.5, "zero_point": -128}


def document() -> dict:
    """Two groups, int8 inside, other widths on both sides."""
    return {
        "format": "tfpwl-bundle",
        "version": 1,
        "name": "tiny",
        "tier": "mid",
        "precision": "int8",
        "producer": {"tfpwl": "0.1.0", "tensorflow": "2.21.0", "config_sha256": SHA},
        "input": {
            "shape": [1, 6, 6, 1],
            "dtype": "float32",
            "preprocess": {"scale": 0.5, "mean": [0.0], "std": [1.0]},
        },
        "output": {"shape": [1, 4], "dtype": "float32", "kind": "logits", "labels": "labels.txt"},
        "boundaries": [
            {
                "student": side(3),
                "teacher": side(5),
                "encoder": entry("b0.encoder.tflite"),
                "decoder": entry("b0.decoder.tflite"),
            }
        ],
        "groups": [
            {"student": entry(f"g{i}.student.tflite"), "teacher": entry(f"g{i}.teacher.tflite")} for i in range(2)
        ],
        "order": [1, 0],
        "path": [{"mix": mix, "accuracy": 0.5, "resident_bytes": 20, "latency_ms": None} for mix in ("SS", "ST", "TT")],
        "runtime": {"threads": 1, "delegate": "xnnpack"},
        "requires": {"tflite_runtime": "2.16.0"},
    }


MISSING = object()


def with_value(path: tuple, value: object) -> str:
    """The document with one place replaced, or removed where the value is MISSING."""
    root = document()
    parent = root
    for step in path[:-1]:
        parent = parent[step]
    if value is MISSING:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return json.dumps(root)


def refusal(text: str | bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    return str(caught.value)


def test_a_valid_manifest_is_read_as_it_stands():
    manifest = Manifest.from_json(json.dumps(document()))
    assert manifest.boundaries[0].teacher == TensorSpec((1, 6, 6, 5), "int8", 0.5, -128)
    assert [e.mix for e in manifest.path] == ["SS", "ST", "TT"]
    assert manifest.path[0].accuracy == 0.5
    assert manifest.output.labels == "labels.txt"


def test_text_is_sorted_and_ends_with_a_newline():
    text = Manifest.from_json(json.dumps(document())).to_json()
    assert text == json.dumps(document(), sort_keys=True, indent=1) + "\n"


def test_null_and_absent_mean_the_same_for_optional_keys():
    root = document()
    del root["tier"], root["output"]["labels"], root["path"][0]["latency_ms"]
    assert Manifest.from_json(json.dumps(root)).tier is None


@pytest.mark.parametrize(
    ("path", "value", "place", "reason"),
    [
        (("format",), "other", "format", "expected 'tfpwl-bundle'"),
        (("format",), MISSING, "format", "the key is missing"),
        (("version",), 2, "version", "received 2; this tfpwl reads 1"),
        (("version",), True, "version", "expected a whole number"),
        (("extra",), 1, "extra", "unknown key"),
        (("groups", 1, "teacher", "extra"), 1, "groups[1].teacher.extra", "unknown key"),
        (("name",), MISSING, "name", "the key is missing"),
        (("name",), "", "name", "printable"),
        (("name",), "a\nb", "name", "printable"),
        (("name",), "\ud800", "name", "printable"),
        (("name",), 5, "name", "expected a string"),
        (("tier",), 5, "tier", "expected a string"),
        (("precision",), "fp8", "precision", "one of fp32, fp16, int8, w8"),
        (("producer",), [], "producer", "expected an object"),
        (("producer", "config_sha256"), "abc", "producer.config_sha256", "64 lowercase hexadecimal"),
        (("groups", 1, "teacher", "sha256"), SHA.upper(), "groups[1].teacher.sha256", "64 lowercase hexadecimal"),
        (("groups", 1, "teacher", "sha256"), SHA + "\n", "groups[1].teacher.sha256", "printable"),
        (("groups", 0, "student", "bytes"), -1, "groups[0].student.bytes", "from 1 to"),
        (("groups", 0, "student", "bytes"), 2**31, "groups[0].student.bytes", "from 1 to"),
        (("groups", 0, "student", "bytes"), 1.0, "groups[0].student.bytes", "expected a whole number"),
        (("groups", 0, "student", "bytes"), True, "groups[0].student.bytes", "expected a whole number"),
        (("groups", 0, "student", "file"), "../g.tflite", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "a/g.tflite", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "a\\g.tflite", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "/etc/passwd", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "..", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), ".hidden", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "C:g.tflite", "groups[0].student.file", "plain file name"),
        (("groups", 0, "student", "file"), "Manifest.json", "groups[0].student.file", "keeps for itself"),
        (("groups", 0, "student", "file"), "G1.student.tflite", "g1.student.tflite", "stands twice"),
        (("output", "labels"), "g0.student.tflite", "g0.student.tflite", "stands twice"),
        (("output", "labels"), "../labels.txt", "output.labels", "plain file name"),
        (("output", "kind"), "scores", "output.kind", "one of logits, probabilities"),
        (("output", "dtype"), "int8", "output.dtype", "one of float32"),
        (("output", "shape"), [2, 4], "output.shape", "a batch of 2; expected 1"),
        (("input", "dtype"), "int8", "input.dtype", "one of float32, uint8"),
        (("input", "shape"), [1], "input.shape", "at least 2"),
        (("input", "shape"), [1] * 9, "input.shape", "at most 8"),
        (("input", "shape"), [None, 6], "input.shape[0]", "expected a whole number"),
        (("input", "shape"), [-1, 6], "input.shape[0]", "from 1 to"),
        (("input", "preprocess", "std"), [0.0], "input.preprocess.std", "may not be 0"),
        (("input", "preprocess", "std"), [1.0, 1.0], "input.preprocess.std", "expected 1, one for each"),
        (("input", "preprocess", "mean"), [], "input.preprocess.mean", "at least 1"),
        (("input", "preprocess", "mean"), [True], "input.preprocess.mean[0]", "expected a number"),
        (("input", "preprocess", "scale"), 10**400, "input.preprocess.scale", "finite"),
        (("boundaries",), [], "boundaries", "received 0; expected 1"),
        (("boundaries",), {}, "boundaries", "expected a list"),
        (("boundaries", 0, "encoder"), None, "boundaries[0].encoder", "expected both or neither"),
        (("boundaries", 0, "decoder"), MISSING, "boundaries[0].decoder", "expected both or neither"),
        (("boundaries", 0, "teacher", "shape"), [1, 6, 5, 5], "boundaries[0]", "all but the last axis"),
        (("boundaries", 0, "teacher", "shape"), [1, 6, 6, 3], "boundaries[0].encoder", "both sides have 3 channels"),
        (("boundaries", 0, "student", "scale"), None, "boundaries[0].student", "are needed with dtype int8"),
        (("boundaries", 0, "student", "scale"), 0, "boundaries[0].student.scale", "above 0"),
        (("boundaries", 0, "student", "zero_point"), 128, "boundaries[0].student.zero_point", "from -128 to 127"),
        (("boundaries", 0, "student", "dtype"), "float32", "boundaries[0].student.scale", "not quantized"),
        (("boundaries", 0, "student", "dtype"), "string", "boundaries[0].student.dtype", "one of float32"),
        (("groups",), [], "groups", "at least 1"),
        (("order",), [0, 0], "order", "each group 0..1 once"),
        (("order",), [0], "order", "each group 0..1 once"),
        (("order",), [0, 2], "order", "each group 0..1 once"),
        (("order", 0), True, "order[0]", "expected a whole number"),
        (("path",), [], "path", "received 0 mixes; order leads through 3"),
        (("path", 1, "mix"), "TS", "path[1].mix", "order leads to 'ST'"),
        (("path", 1, "mix"), "SX", "path[1].mix", "one letter S or T per group"),
        (("path", 1, "accuracy"), 87.2, "path[1].accuracy", "from 0 to 1"),
        (("path", 1, "latency_ms"), -0.1, "path[1].latency_ms", "from 0 to"),
        (("path", 1, "resident_bytes"), -1, "path[1].resident_bytes", "from 0 to"),
        (("runtime", "threads"), 0, "runtime.threads", "from 1 to"),
        (("requires", "tflite_runtime"), "new", "requires.tflite_runtime", "a version such as"),
        (("requires", "tflite_runtime"), "٢.١.٠", "requires.tflite_runtime", "a version such as"),
    ],
)
def test_a_malformation_is_refused_with_its_place_and_reason(path, value, place, reason):
    message = refusal(with_value(path, value))
    assert place in message
    assert reason in message


def test_needed_converters_must_be_there():
    root = document()
    root["boundaries"][0]["encoder"] = root["boundaries"][0]["decoder"] = None
    assert "boundaries[0].encoder: missing; the student has 3 channels" in refusal(json.dumps(root))


def test_without_converters_both_sides_are_one_tensor():
    root = document()
    boundary = root["boundaries"][0]
    boundary["encoder"] = boundary["decoder"] = None
    boundary["teacher"] = {**boundary["student"], "scale": 2 * boundary["student"]["scale"]}
    assert "boundaries[0]: the student has int8 [1, 6, 6, 3] scale" in refusal(json.dumps(root))
    assert "straight into the other's" in refusal(json.dumps(root))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b"[" * 100_000, "not valid JSON"),
        (b"1" * 10_000, "not valid JSON"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "at most 1048576"),
        ("\ud800", "not UTF-8"),
    ],
)
def test_text_that_is_no_manifest_is_refused(text, reason):
    assert reason in refusal(text)


def test_a_number_too_large_for_a_float_is_refused():
    text = json.dumps(document()).replace('"scale": 0.5, "mean"', '"scale": 1e999, "mean"')
    assert "input.preprocess.scale: received inf; expected a finite number" in refusal(text)


def test_preprocess_scales_and_normalises_per_channel():
    preprocess = Preprocess(scale=0.1, mean=(1.0, 2.0), std=(0.5, 4.0))
    answer = preprocess(np.array([[[10, 20], [30, 60]]], np.uint8))
    assert answer.dtype == np.float32
    # Two float32 operations on numbers near 1: a few units in the last place (6e-8).
    np.testing.assert_allclose(answer, [[[0.0, 0.0], [4.0, 1.0]]], atol=5e-7)


def test_a_chain_has_the_converters_of_its_switches():
    manifest = Manifest.from_json(json.dumps(document()))
    names = {mix: [e.file.removesuffix(".tflite") for e in manifest.chain(mix)] for mix in ("SS", "ST", "TS", "TT")}
    assert names == {
        "SS": ["g0.student", "g1.student"],
        "ST": ["g0.student", "b0.decoder", "g1.teacher"],
        "TS": ["g0.teacher", "b0.encoder", "g1.student"],
        "TT": ["g0.teacher", "g1.teacher"],
    }
    assert manifest.mix_bytes("TS") == 30


@pytest.mark.parametrize("mix", ["S", "SSS", "", "SX"])
def test_a_mix_of_another_length_is_refused(mix):
    with pytest.raises(ValueError, match="Received mix"):
        Manifest.from_json(json.dumps(document())).chain(mix)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)


@st.composite
def manifests(draw) -> Manifest:
    num_groups = draw(st.integers(1, 5))
    numbers = iter(range(1, 10_000))

    def file() -> FileEntry:
        size, sha256 = draw(st.integers(1, 2**31 - 1)), draw(st.sampled_from([SHA, "f" * 64]))
        return FileEntry(f"f{next(numbers)}.tflite", size, sha256)

    def spec(channels: int) -> TensorSpec:
        if draw(st.booleans()):
            return TensorSpec((1, 4, channels), "float32")
        scale = draw(st.floats(1e-30, 1e30))
        return TensorSpec((1, 4, channels), "int8", scale, draw(st.integers(-128, 127)))

    boundaries = []
    for _ in range(num_groups - 1):
        narrow, wide = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        converters = (file(), file()) if narrow != wide else (None, None)
        student = spec(narrow)
        # Without converters, one side's tensor is the other's.
        boundaries.append(BoundaryEntry(student, student if narrow == wide else spec(wide), *converters))
    order = tuple(draw(st.permutations(range(num_groups))))
    bare = Manifest(
        name=draw(NAMES),
        tier=draw(st.none() | NAMES),
        precision=draw(st.sampled_from(["fp32", "fp16", "int8", "w8"])),
        producer=Producer(draw(NAMES), draw(NAMES), SHA),
        input=InputSpec((1, 4, 2), "float32", Preprocess(draw(FINITE), (draw(FINITE),), (draw(FINITE.filter(bool)),))),
        output=OutputSpec((1, 3), "float32", "logits", draw(st.sampled_from([None, "labels.txt"]))),
        boundaries=tuple(boundaries),
        groups=tuple(GroupEntry(file(), file()) for _ in range(num_groups)),
        order=order,
        path=(),
        runtime=RuntimeHints(draw(st.integers(1, 64)), "xnnpack"),
        requires=Requires("2.16.0"),
    )
    accuracy = {mix: draw(st.floats(0, 1)) for mix in mixes.path(order) if draw(st.booleans())}
    fields = {name: getattr(bare, name) for name in Manifest.__dataclass_fields__}
    return Manifest(**{**fields, "path": bare.walk(order, accuracy)})


# No deadline: the machine is shared.
@settings(deadline=None)
@given(manifests())
def test_reading_what_was_written_gives_the_same_manifest(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(manifest.to_json().encode()).to_json() == manifest.to_json()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@settings(deadline=None)
@given(st.data())
def test_a_mutated_manifest_is_read_or_refused_but_never_anything_else(data):
    root = copy.deepcopy(document())
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from([place for place in places(root) if place]))
        parent = root
        for step in parents:
            parent = parent[step]
        if data.draw(st.booleans()):
            parent[last] = data.draw(JSON_VALUES)
        else:
            del parent[last]
    text = json.dumps(root)
    try:
        manifest = Manifest.from_json(text)
    except ManifestError:
        return
    assert Manifest.from_json(manifest.to_json()) == manifest


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100))
def test_any_other_text_is_a_manifest_error(text):
    with pytest.raises(ManifestError):
        Manifest.from_json(text)
