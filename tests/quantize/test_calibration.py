from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litert_quantizer import qtyping
from litert_quantizer.algorithms.uniform_quantize.uniform_quantize_tensor import tensor_zp_scale_from_min_max

from tfpwl.bundle.tflite_file import read_facts
from tfpwl.errors import QuantizationError
from tfpwl.mix import Mix, all_mixes, path
from tfpwl.quantize import Range, calibrate, quantize_files
from tfpwl.quantize.calibration import BoundaryRange
from tfpwl.quantize.chain import chain

# Ranges come from an interpreter that keeps every activation, the expected ones from one that fuses operators: the
# last bits differ.
CLOSE = 1e-5


@pytest.fixture
def written(run):
    """Everything that a file writes under mixes, by running whole chains."""

    def collect(files, x, mixes, stem):
        found = []
        for mix in mixes:
            features = x
            for step in chain(files, Mix(mix)):
                features = run(files[step], features)
                if step == stem:
                    found.append(features)
        return np.concatenate(found)

    return collect


def test_a_boundary_has_the_range_of_all_that_is_written_there_on_the_path(tiny_files, images, calibration, written):
    mixes = path((0, 1, 2))
    assert calibration.mixes == mixes
    assert calibration.num_images == len(images)
    for index in (0, 1):
        student = [written(tiny_files, images, mixes, s) for s in (f"g{index}.student", f"b{index}.encoder")]
        teacher = written(tiny_files, images, mixes, f"g{index}.teacher")
        found = calibration.boundaries[index]
        assert found.student.low == pytest.approx(min(one.min() for one in student), abs=CLOSE)
        assert found.student.high == pytest.approx(max(one.max() for one in student), abs=CLOSE)
        # No decoder runs on the prefix path: what it would write does not count.
        assert (found.teacher.low, found.teacher.high) == pytest.approx((teacher.min(), teacher.max()), abs=CLOSE)
        assert found.teacher.low == 0.0  # behind a ReLU


def test_all_mixes_count_where_they_are_asked_for(tiny_files, images, calibration, written):
    every = calibrate(tiny_files, images, all_mixes(3))
    decoded = written(tiny_files, images, all_mixes(3), "b0.decoder")
    assert decoded.min() < 0
    assert every.boundaries[0].teacher.low == pytest.approx(decoded.min(), abs=CLOSE)
    assert every.boundaries[0].teacher.low < calibration.boundaries[0].teacher.low


def test_every_file_that_touches_a_boundary_carries_its_range(tiny_files, calibration):
    pinned = calibration.boundaries[0]
    ends = {stem: _ends(tiny_files[stem], calibration.ranges[stem]) for stem in tiny_files}
    assert ends["g0.teacher"][1] == ends["g1.teacher"][0] == pinned.teacher
    assert ends["b0.encoder"] == (pinned.teacher, pinned.student)
    assert ends["b0.decoder"] == (pinned.student, pinned.teacher)


def _ends(model, ranges):
    from tfpwl.quantize.graph import read_graph

    graph = read_graph(model)
    return ranges[graph.tensors[graph.input].name], ranges[graph.tensors[graph.output].name]


def test_files_off_the_path_see_what_a_mix_that_uses_them_gives_them(tiny_files, images, written):
    found = calibrate(tiny_files, images, [Mix("TTT")])
    alone = written(tiny_files, images, ["SSS"], "g0.student")
    assert found.boundaries[0].student.high == pytest.approx(
        max(alone.max(), written(tiny_files, images, ["TSS"], "b0.encoder").max()), abs=CLOSE
    )
    assert set(found.ranges) == set(tiny_files)


def test_without_converters_both_sides_of_a_boundary_are_one(families, family_images, written):
    files = {stem: data for stem, data in families["lenet5"].items() if stem != "teacher"}
    assert "b2.encoder" not in files
    found = calibrate(files, family_images).boundaries
    assert found[2].student == found[2].teacher
    assert found[1].student != found[1].teacher
    mixes = path(range(4))
    highest = max(written(files, family_images, mixes, f"g2.{side}").max() for side in ("student", "teacher"))
    assert found[2].student.high == pytest.approx(highest, abs=CLOSE)


def test_the_order_of_the_images_does_not_matter(tiny_files, images, calibration):
    assert calibrate(tiny_files, images[::-1]).ranges == calibration.ranges


def test_ranges_that_training_has_learnt_are_pinned(tiny_files, images):
    learnt = (BoundaryRange(Range(-1.0, 2.0), Range(0.0, 3.0)), BoundaryRange(Range(0.0, 4.0), Range(-5.0, 6.0)))
    found = calibrate(tiny_files, images, boundaries=learnt)
    assert found.boundaries == learnt
    model = quantize_files(tiny_files, "int8", found)["b1.decoder"]
    facts = read_facts("b1.decoder.tflite", model)
    assert facts.input.scale == pytest.approx(4.0 / 255)
    assert facts.output.scale == pytest.approx(11.0 / 255)
    with pytest.raises(ValueError, match="Received ranges of 1 boundaries; expected 2"):
        calibrate(tiny_files, images, boundaries=learnt[:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:0], "Received no calibration images"),
        (
            lambda x: x[:, :5],
            r"Received calibration images of shape \[5, 6, 1\] and dtype float32; expected \[6, 6, 1\]",
        ),
        (lambda x: x.astype(np.float64), "dtype float64; expected"),
        (lambda x: np.where(x > 2, np.nan, x), "values are NaN or infinite; expected finite"),
        (np.zeros_like, "24 calibration images that are 0 throughout"),
    ],
)
def test_images_that_cannot_be_used_are_refused(tiny_files, images, change, message):
    with pytest.raises(QuantizationError, match=message):
        calibrate(tiny_files, change(images))


def test_a_mix_of_another_length_is_refused(tiny_files, images):
    with pytest.raises(ValueError, match="expected one letter for each of 3 groups"):
        calibrate(tiny_files, images, ["SS"])
    with pytest.raises(ValueError, match="Received mixes none"):
        calibrate(tiny_files, images, [])


def test_nan_activations_name_file_and_tensor(tiny_files, images, with_weights):
    files = {**tiny_files, "g1.teacher": with_weights(tiny_files["g1.teacher"], lambda w: w * np.float32(np.nan))}
    with pytest.raises(QuantizationError, match=r"g1\.teacher\.tflite, tensor '.+': received values from nan to nan"):
        calibrate(files, images)


def test_a_boundary_that_is_constant_names_file_and_tensor(tiny_files, images, with_weights):
    # All weights and biases 0: a layer whose ReLUs have died.
    files = {**tiny_files, "g0.teacher": with_weights(tiny_files["g0.teacher"], np.zeros_like)}
    with pytest.raises(
        QuantizationError,
        match=r"g0\.teacher\.tflite, tensor '.+': the teacher side of boundary 0 is 0 for every calibration image",
    ):
        calibrate(files, images)


def test_a_layer_that_died_inside_a_group_does_no_harm(families, family_images, run, without):
    # The first convolution of the second block; the residual goes around it.
    files = {stem: data for stem, data in families["resnet"].items() if stem != "teacher"}
    from tfpwl.quantize.graph import read_graph

    graph = read_graph(files["g0.teacher"])
    dying = next(op for op in graph.operators[4:] if op.name == "CONV_2D")
    buffers = {graph.tensors[i].name for i in dying.inputs[1:]}
    files["g0.teacher"] = without(files["g0.teacher"], buffers)
    found = calibrate(files, family_images)
    name = graph.tensors[dying.outputs[0]].name
    assert found.ranges["g0.teacher"][name] == Range(0.0, 1.0)
    quantized = quantize_files(files, "int8", found)
    answers = run(quantized["g0.teacher"], family_images[:2])
    assert len(np.unique(answers)) > 10


finite = st.floats(-1e4, 1e4, width=32)


@given(finite, finite)
def test_scale_and_zero_point_are_the_quantizers(one, other):
    found = Range(min(one, other), max(one, other))
    # Below, the quantizer takes a floor of 1e-9 in place of 0, which `calibrate` never lets it come to.
    if max(found.high, 0.0) - min(found.low, 0.0) < 1e-6:
        return
    zero_point, scale = tensor_zp_scale_from_min_max(
        np.array([found.low], np.float32), np.array([found.high], np.float32), 8, False,
        qtyping.QuantGranularity.TENSORWISE,
    )  # fmt: skip
    # float32 there, float64 here.
    assert found.scale == pytest.approx(float(scale[0]), rel=1e-6)
    assert abs(found.zero_point - int(zero_point[0])) <= 1
    assert -128 <= found.zero_point <= 127


@given(finite, finite, finite, finite)
def test_a_merged_range_holds_both(a, b, c, d):
    one, other = Range(min(a, b), max(a, b)), Range(min(c, d), max(c, d))
    merged = one.merge(other)
    assert merged.low == min(a, b, c, d)
    assert merged.high == max(a, b, c, d)
    assert merged == other.merge(one)
