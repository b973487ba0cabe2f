from __future__ import annotations

import numpy as np
import pytest

from tfpwl.bundle import verify, write_bundle
from tfpwl.bundle.tflite_file import read_facts
from tfpwl.errors import ContractError, QuantizationError
from tfpwl.evaluate import evaluate_mixes, teacher_difference
from tfpwl.mix import all_mixes
from tfpwl.quantize import PRECISIONS, calibrate, convert, quantize_files, quantize_whole, recipes
from tfpwl.quantize.chain import chain
from tfpwl.runtime import ProgressiveModel

STATIC = ("lenet5", "resnet", "vgg")


@pytest.fixture
def make_bundle(tmp_path, tiny_fields):
    def make(files, precision, folder="bundle"):
        return write_bundle(tmp_path / folder, files=files, **{**tiny_fields, "labels": None, "precision": precision})

    return make


def split(files):
    """The pair's files, and the teacher in one piece."""
    return {stem: data for stem, data in files.items() if stem != "teacher"}, files["teacher"]


@pytest.mark.parametrize("family", STATIC)
def test_all_teacher_int8_equals_the_one_piece_teacher_bit_for_bit(family, families, family_images, make_bundle):
    files, whole = split(families[family])
    # Other images than those compared, and mixes that widen the boundaries beyond what the teacher alone shows.
    calibration = calibrate(files, family_images[:16], all_mixes(len([s for s in files if s.endswith(".student")])))
    bundle = make_bundle(quantize_files(files, "int8", calibration), "int8")
    one_piece = quantize_whole(whole, files, "int8", calibration)
    assert teacher_difference(bundle, one_piece, family_images) == 0.0
    assert read_facts("teacher", one_piece).output.dtype == "float32"
    assert len(one_piece) < len(whole)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", [*STATIC, "vit"])
def test_every_rung_of_every_family_keeps_the_bundles_contracts(
    family, precision, families, family_images, make_bundle
):
    files, whole = split(families[family])
    before = dict(files)
    calibration = calibrate(files, family_images) if precision == "int8" else None
    quantized = quantize_files(files, precision, calibration)
    assert files == before
    bundle = make_bundle(quantized, precision)
    assert [check.detail for check in verify(bundle) if not check.passed] == []
    # fp16 computes in float32 from halved weights, w8 scales the same activations; int8 compares integers.
    difference = teacher_difference(bundle, quantize_whole(whole, files, precision, calibration), family_images[:8])
    assert difference <= {"fp32": 1e-5, "fp16": 1e-5, "w8": 5e-2, "int8": 0.0}[precision]


@pytest.mark.parametrize("precision", ["fp16", "w8", "int8"])
def test_a_rung_answers_nearly_as_the_float_files(precision, families, family_images, run):
    files, _ = split(families["resnet"])
    quantized = quantize_files(files, precision, calibrate(files, family_images) if precision == "int8" else None)
    expected, found = family_images, family_images
    for stem in chain(files, "TT"):
        expected, found = run(files[stem], expected), run(quantized[stem], found)
    spread = np.ptp(expected)
    # Of the logits' spread: 11 bits of mantissa, and 8 bits through six layers (measured 4e-4, 0.006 and 0.012).
    assert np.abs(found - expected).max() < {"fp16": 0.002, "w8": 0.03, "int8": 0.06}[precision] * spread


def test_boundaries_are_int8_and_ends_float(tiny_files, calibration):
    quantized = quantize_files(tiny_files, "int8", calibration)
    facts = {stem: read_facts(stem, data) for stem, data in quantized.items()}
    assert facts["g0.teacher"].input.dtype == facts["g2.student"].output.dtype == "float32"
    for stem, end in (
        ("g0.teacher", "output"),
        ("g1.teacher", "input"),
        ("b0.encoder", "input"),
        ("b0.decoder", "output"),
    ):
        spec = getattr(facts[stem], end)
        assert (spec.dtype, spec.zero_point) == ("int8", -128)  # behind a ReLU, so that 0 is the smallest value
        assert spec.scale == pytest.approx(calibration.boundaries[0].teacher.high / 255)


def test_int8_tensors_are_handed_on_unchanged_in_every_mix(tiny_files, calibration, images, make_bundle):
    bundle = make_bundle(quantize_files(tiny_files, "int8", calibration), "int8")
    y = np.random.default_rng(0).integers(0, 4, len(images))
    results = evaluate_mixes(bundle, images, y, workers=1)
    assert len(results) == 8
    with ProgressiveModel.open(bundle) as model:
        model.upgrade(background=False)
        assert model.mix == "TTT"
        right = sum(int(model.predict(x).argmax()) == label for x, label in zip(images, y, strict=True))
    assert right == results["TTT"].correct


def test_transformers_keep_float_boundaries_and_one_partition(families, family_images, make_bundle):
    files, _ = split(families["vit"])
    bundle = make_bundle(quantize_files(files, "int8", calibrate(files, family_images)), "int8")
    assert {entry.student.dtype for entry in bundle.manifest.boundaries} == {"float32"}
    (partitions,) = [check for check in verify(bundle) if check.name == "one partition"]
    assert partitions.detail == "every file runs as one XNNPACK partition"


def test_verify_names_the_operators_that_split_a_file(families, family_images, make_bundle, smuggle):
    files, _ = split(families["vit"])
    calibration = calibrate(files, family_images)
    bundle = make_bundle(quantize_files(files, "int8", calibration), "int8")
    # Everything int8, for which XNNPACK lacks kernels.
    recipe = recipes.int8(float_input=True, float_output=True)
    whole = convert._run_quantizer("g1.teacher", files["g1.teacher"], recipe, calibration.ranges["g1.teacher"])
    (partitions,) = [c for c in verify(smuggle(bundle, 1, "teacher", whole)) if c.name == "one partition"]
    assert partitions.passed
    assert partitions.detail.startswith("g1.teacher.tflite: ")
    assert "partitions, split by " in partitions.detail
    assert "GELU" in partitions.detail
    assert partitions.detail.endswith("; XNNPACK has no kernel for these at this precision")


def test_files_of_two_calibrations_do_not_make_a_bundle(tiny_files, images, calibration, make_bundle):
    other = quantize_files(tiny_files, "int8", calibrate(tiny_files, 3 * images))
    mixed = {**quantize_files(tiny_files, "int8", calibration), "g1.teacher": other["g1.teacher"]}
    with pytest.raises(ContractError, match="boundary 0, teacher must agree on shape, dtype, scale and zero point"):
        make_bundle(mixed, "int8")


def test_a_file_of_another_scale_is_refused_when_it_is_loaded(tiny_files, images, calibration, make_bundle, smuggle):
    other = quantize_files(tiny_files, "int8", calibrate(tiny_files, 3 * images))
    bundle = smuggle(
        make_bundle(quantize_files(tiny_files, "int8", calibration), "int8"), 1, "teacher", other["g1.teacher"]
    )
    (boundaries,) = [check for check in verify(bundle) if check.name == "boundaries"]
    assert not boundaries.passed
    assert "g1.teacher.tflite: its input is int8" in boundaries.detail
    with ProgressiveModel.open(bundle) as model:
        with pytest.raises(ContractError, match="the teacher side of boundary 0 is int8"):
            model.upgrade(background=False)
        assert model.mix == "TSS"
        model.predict(images[0])


def test_the_same_input_gives_the_same_bytes(tiny_files, images, calibration):
    again = quantize_files(tiny_files, "int8", calibrate(tiny_files, images))
    assert again == quantize_files(tiny_files, "int8", calibration)


def test_the_quantizer_is_silent(tiny_files, calibration, capfd):
    quantize_files(tiny_files, "int8", calibration)
    assert capfd.readouterr() == ("", "")


def test_progress_counts_files(tiny_files):
    heard = []
    quantize_files(tiny_files, "fp16", on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(i, len(tiny_files)) for i in range(1, len(tiny_files) + 1)]


def test_wrong_arguments_say_what_is_missing(tiny_files, calibration, families):
    with pytest.raises(QuantizationError, match="int8 needs the ranges of the activations"):
        quantize_files(tiny_files, "int8")
    with pytest.raises(QuantizationError, match="Received precision 'int4'; expected one of fp32, fp16, w8, int8"):
        quantize_files(tiny_files, "int4")
    files, whole = split(families["lenet5"])
    with pytest.raises(QuantizationError, match="the calibration has no range for"):
        quantize_files(files, "int8", calibration)
    with pytest.raises(ContractError, match="missing"):
        quantize_files({"g0.student": files["g0.student"]}, "fp16")
    with pytest.raises(QuantizationError, match="not those of its groups one after another"):
        quantize_whole(whole, tiny_files, "int8", calibration)
