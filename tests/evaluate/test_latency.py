from __future__ import annotations

import pytest

from tfpwl.errors import DataError
from tfpwl.evaluate import latency, measure_latency
from tfpwl.mix import Mix

WARM_UP_CALLS = 3 * 2 * 3


class Clock:
    """A clock that only groups move."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_every_mix_gets_a_positive_time(bundle):
    taken = measure_latency(bundle, [Mix("TTT"), Mix("SSS")], answers=5)
    assert list(taken) == ["TTT", "SSS"]
    assert all(0 < ms < 1000 for ms in taken.values())


def test_the_median_in_milliseconds_without_warm_up_and_in_turn(bundle, images, monkeypatch):
    clock, calls = Clock(), []

    def load_files(bundle, mixes):
        def group(name):
            def run(x):
                calls.append(name)
                # Every file takes 2 ms, and far longer in the warm-up: 3 rounds of 2 mixes of 3 files.
                clock.now += 0.002 if len(calls) > WARM_UP_CALLS else 1.0
                return x

            return run

        return {entry.file: group(entry.file) for mix in mixes for entry in bundle.chain(mix)}

    monkeypatch.setattr(latency, "load_files", load_files)
    monkeypatch.setattr(latency, "time", clock)
    taken = measure_latency(bundle, [Mix("TTT"), Mix("TTS")], answers=3, x=images[0])
    assert taken == {"TTT": pytest.approx(6.0), "TTS": pytest.approx(6.0)}
    last = [name for name in calls if name.startswith("g2")]
    assert last == ["g2.teacher.tflite", "g2.student.tflite"] * 6


def test_images_that_do_not_fit_are_refused(bundle, images):
    with pytest.raises(DataError, match="Received images of shape"):
        measure_latency(bundle, [Mix("TTT")], x=images[0][:, :3])


def test_no_answers_are_refused(bundle):
    with pytest.raises(ValueError, match="answers=0; expected 1 or more"):
        measure_latency(bundle, [Mix("TTT")], answers=0)
