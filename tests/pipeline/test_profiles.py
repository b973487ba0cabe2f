"""What measurements on devices decide about a tier."""

import pytest

from tfpwl.bench.profile import Measurement, Profile, ProfiledDevice, save_profile
from tfpwl.bundle import RuntimeHints
from tfpwl.config import parse_config
from tfpwl.errors import ProfileError
from tfpwl.pipeline.profiles import choose_runtime, fit_ladder

TIER = "name: a\ndata: {name: digits}\nteacher: {family: vgg}\nquantize: {ladder: [fp32, fp16, w8, int8]}\n"


def profile(path, **times):
    """A profile with milliseconds by precision, threads and delegate: ``int8_2_xnnpack=1.5``."""
    device = ProfiledDevice(path.stem, "some processor", 8, 1 << 32, "Android 14", "litert 2.3")
    measured = []
    for name, ms in times.items():
        precision, threads, delegate = name.split("_")
        measured.append(Measurement("b", precision, int(threads), delegate, 1000, (ms / 2,), (ms,)))
    save_profile(path, Profile(device, tuple(measured)))
    return path


def test_the_ladder_goes_by_speed_on_the_slowest_device_and_its_first_rung_that_passes_is_taken(tmp_path):
    fast = profile(tmp_path / "fast.json", fp16_1_gpu=0.5, w8_1_xnnpack=3.0, int8_1_xnnpack=2.0)
    slow = profile(tmp_path / "slow.json", fp16_1_xnnpack=9.0, w8_1_xnnpack=6.0, int8_1_xnnpack=4.0, fp32_1_xnnpack=1.0)
    quantize = fit_ladder(parse_config(TIER), [fast, slow]).quantize
    # fp32 has not been measured on both: last, whatever one of them says.
    assert (quantize.ladder, quantize.select) == (("int8", "w8", "fp16", "fp32"), "first")


def test_threads_and_delegate_are_those_that_were_fastest_with_the_precision(tmp_path):
    one = profile(tmp_path / "one.json", int8_1_xnnpack=2.0, int8_4_xnnpack=3.0, fp16_4_xnnpack=9.0, fp16_1_gpu=1.0)
    assert choose_runtime([one], "int8") == (RuntimeHints(1, "xnnpack"), 2.0)
    assert choose_runtime([one], "fp16") == (RuntimeHints(1, "gpu"), 1.0)
    assert choose_runtime([one], "w8") is None
    assert choose_runtime([], "int8") is None


def test_without_profiles_or_ladder_the_pipeline_stays_as_it_is(tmp_path):
    config = parse_config(TIER)
    assert fit_ladder(config, []) is config
    no_ladder = parse_config("name: a\ndata: {name: digits}\nteacher: {family: vgg}\n")
    assert fit_ladder(no_ladder, [profile(tmp_path / "p.json", int8_1_xnnpack=1.0)]) is no_ladder


def test_a_profile_that_is_missing_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"none\.json: No such file"):
        fit_ladder(parse_config(TIER), [tmp_path / "none.json"])
