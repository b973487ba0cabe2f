from __future__ import annotations

import pytest

from tfpwl.bundle.tflite_file import read_facts
from tfpwl.bundle.version import check_runtime, installed_tflite_level, parse_version, tflite_level
from tfpwl.errors import RuntimeTooOldError


@pytest.mark.parametrize(
    ("litert", "level"),
    [("1.0.1", "2.17.0"), ("1.4.0", "2.17.0"), ("2.0.3", "2.21.0"), ("2.3.0", "2.21.0"), ("0.9", "1.5.0")],
)
def test_litert_versions_stand_for_tflite_versions(litert, level):
    assert tflite_level(litert) == level


def test_the_installed_runtime_runs_what_tensorflow_2_21_writes():
    check_runtime("2.21.0", installed_tflite_level())


def test_versions_are_compared_as_numbers_not_as_text():
    check_runtime("2.9.0", "2.16.0")
    with pytest.raises(RuntimeTooOldError, match=r"needs TFLite 2.16.0 .* runtime stands at 2.9.0. Update it"):
        check_runtime("2.16.0", "2.9.0")


@pytest.mark.parametrize("text", ["", "new", "2", "v2.1.0"])
def test_text_that_is_no_version_is_refused(text):
    with pytest.raises(ValueError, match="expected numbers such as"):
        parse_version(text)


def test_what_follows_the_numbers_does_not_count():
    assert parse_version("2.16.1rc2") == (2, 16, 1)


def test_the_converters_minimum_is_found_in_the_file(tiny_files):
    assert {parse_version(read_facts(stem, data).min_runtime_version)[0] for stem, data in tiny_files.items()} <= {1, 2}
