"""A device's profile: measured in fresh processes, kept as JSON, and what it recommends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.bench.profile import (
    CLOSE,
    MAX_PROFILE_BYTES,
    Measurement,
    Profile,
    ProfiledDevice,
    load_profile,
    save_profile,
)
from tfpwl.bench.profiling import Sample, Setting, device_name, make_profile, profile_host, thread_counts
from tfpwl.bundle import pack
from tfpwl.errors import ProfileError, TfpwlError

DEVICE = ProfiledDevice("board", "Cortex-A76", 4, 4 << 30, "Linux 6.1, aarch64", "ai-edge-litert 2.3.0")


def measured(precision, threads, milliseconds, delegate="xnnpack", size=1000):
    return Measurement("tiny", precision, threads, delegate, size, (milliseconds / 4,), (milliseconds,))


def profile_of(*measurements):
    return Profile(DEVICE, measurements)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({1: 10.0, 2: 6.0, 4: 4.0}, 4),
        ({1: 10.0, 2: 11.0, 4: 14.0}, 1),
        # 4 % and 6 % slower: on both sides of the 5 % that fewer threads may cost.
        ({1: 10.4, 2: 10.0}, 1),
        ({1: 10.6, 2: 10.0}, 2),
        ({1: 20.0, 2: 10.4, 4: 10.0}, 2),
    ],
)
def test_fewer_threads_win_where_they_are_as_fast(times, expected):
    choice = profile_of(*(measured("fp32", threads, taken) for threads, taken in times.items())).best()
    assert (choice.threads, choice.median_ms) == (expected, times[expected])


def test_the_reason_tells_what_was_faster():
    choice = profile_of(measured("fp32", 1, 10.4), measured("fp32", 2, 10.0)).best()
    assert choice.reason == (
        "10.4 ms per answer, within 5 % of fp32 with 2 threads and xnnpack (10 ms), and fewer threads"
    )
    assert profile_of(measured("fp32", 1, 1.23456)).best().reason == "the fastest: 1.23 ms per answer"


def test_a_delegate_is_taken_where_it_is_faster():
    found = profile_of(measured("fp32", 1, 10.0), measured("fp32", 1, 3.0, "gpu"), measured("int8", 1, 2.0))
    assert (found.best(["fp32"]).delegate, found.best(["fp32"]).student_ms) == ("gpu", 0.75)
    assert found.best().precision == "int8"
    assert found.precisions == ("fp32", "int8")


def test_of_equally_fast_precisions_the_smaller_one_is_taken():
    choice = profile_of(measured("fp32", 1, 10.0, size=4000), measured("w8", 1, 10.2, size=1000)).best()
    assert choice.precision == "w8"
    assert choice.reason.endswith("within 5 % of fp32 with 1 thread and xnnpack (10 ms), and smaller files")


def test_an_app_may_limit_the_threads():
    found = profile_of(measured("fp32", 1, 10.0), measured("fp32", 4, 3.0))
    assert found.best(max_threads=2).threads == 1
    with pytest.raises(ProfileError, match=r"has no figure for int8 with at most 2 threads; it has fp32 × 1, fp32 × 4"):
        found.best(["int8"], max_threads=2)


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0.01, 100)), min_size=1))
def test_the_choice_is_close_to_the_fastest_and_none_with_fewer_threads_is(settings):
    found = profile_of(*(measured("fp32", threads, taken) for threads, taken in settings))
    choice, limit = found.best(), (1 + CLOSE) * min(taken for _, taken in settings)
    assert choice.median_ms <= limit
    assert choice.threads == min(threads for threads, taken in settings if taken <= limit)


def test_bundles_are_measured_here_with_every_number_of_threads(tiny_bundle, tmp_path):
    packed = pack(tiny_bundle, tmp_path / "tiny.tfpwl")
    steps = []
    found = profile_host([packed], threads=(1, 2), repeats=2, seconds=0, on_progress=lambda *step: steps.append(step))
    on_cpu = [one for one in found.measurements if one.delegate == "xnnpack"]
    assert [(one.threads, len(one.teacher_ms)) for one in on_cpu] == [(1, 2), (2, 2)]
    assert all(min(one.student_ms + one.teacher_ms) > 0 for one in found.measurements)
    # In turn, and another one begins each round.
    one, two, gpu = "1 × xnnpack", "2 × xnnpack", "1 × gpu"
    assert [what.rpartition(", ")[2] for _, _, what in steps] == [one, two, gpu, two, gpu, one]
    assert [done for done, total, _ in steps if total == 6] == list(range(6))
    assert "Medians of 2 processes: for trying out." in found.notes
    assert found.device.cores >= 1
    save_profile(tmp_path / "profiles" / "here.json", found)
    assert load_profile(tmp_path / "profiles" / "here.json") == found


def test_a_broken_bundle_is_told_with_the_workers_words(tiny_bundle):
    file = tiny_bundle.root / "g1.teacher.tflite"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(TfpwlError, match=r"failed: IntegrityError: .*g1\.teacher\.tflite"):
        profile_host([tiny_bundle], threads=(1,), repeats=1, seconds=0)


def test_nothing_measured_is_no_profile():
    with pytest.raises(ProfileError, match="Nothing was measured on board"):
        make_profile(DEVICE, [])


def test_samples_of_another_driver_become_a_profile(tiny_bundle):
    slow, fast = Setting(tiny_bundle, 1, "cpu"), Setting(tiny_bundle, 1, "gpu")
    samples = [Sample(slow, 1.0, 9.0), Sample(fast, 2.0, 4.0), Sample(slow, 3.0, 5.0), Sample(slow, 2.0, 7.0)]
    found = make_profile(DEVICE, samples, ["a phone"])
    assert {one.delegate: (one.student_median_ms, one.median_ms) for one in found.measurements} == {
        "cpu": (2.0, 7.0),
        "gpu": (2.0, 4.0),
    }
    assert found.measurements[0].bundle_bytes == tiny_bundle.mix_bytes("TTT")
    assert found.notes == ("a phone",)


def test_thread_counts_and_names():
    assert [thread_counts(cores) for cores in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]
    assert device_name("Intel(R) Xeon(R) @ 2.20GHz") == "intel-r-xeon-r-2-20ghz"
    assert device_name("??") == "device"


DOCUMENT = json.loads(profile_of(measured("fp32", 1, 10.0)).to_json())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "tfpwl-bench"}, "format: received 'tfpwl-bench'; expected one of tfpwl-profile"),
        ({"version": 9}, "version: received 9; this tfpwl reads 1. Measure again"),
        ({"measurements": []}, "measurements: received 0 members"),
        ({"measurements": [{**DOCUMENT["measurements"][0], "teacher_ms": []}]}, r"measurements\[0\].teacher_ms: rec"),
        ({"measurements": [{**DOCUMENT["measurements"][0], "teacher_ms": [-1]}]}, r"teacher_ms\[0\]: received -1"),
        ({"measurements": [{**DOCUMENT["measurements"][0], "precision": "int4"}]}, "expected one of fp32"),
        ({"device": {"name": "x"}}, "device.processor: the key is missing"),
        ({"more": 1}, "more: unknown key"),
    ],
)
def test_a_broken_profile_is_refused_with_its_file_and_place(tmp_path, change, says):
    (tmp_path / "p.json").write_text(json.dumps({**DOCUMENT, **change}))
    with pytest.raises(ProfileError, match=rf"p\.json: .*{says}"):
        load_profile(tmp_path / "p.json")


def test_a_profile_that_could_not_be_read_is_not_written(tmp_path):
    found = Profile(DEVICE, (measured("fp32", 1, 10.0),), ("two\nlines",))
    with pytest.raises(ProfileError, match=r"notes\[0\]: received 'two\\nlines'"):
        save_profile(tmp_path / "p.json", found)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_that_is_missing_or_too_large_is_told(tmp_path):
    with pytest.raises(ProfileError, match=r"nowhere\.json: No such file or directory; expected a profile"):
        load_profile(tmp_path / "nowhere.json")
    (tmp_path / "large.json").write_bytes(b" " * (MAX_PROFILE_BYTES + 10))
    with pytest.raises(ProfileError, match="The profile has 4194305 bytes; at most 4194304 are read"):
        load_profile(tmp_path / "large.json")


def test_what_a_file_calls_best_is_not_believed():
    document = {**DOCUMENT, "best": {"fp32": {"threads": 64}}}
    assert Profile.from_json(json.dumps(document)).best().threads == 1
