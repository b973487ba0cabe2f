"""The table of broken bundles that the Android library is tested with, too: same refusals on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from broken_bundles import Case, cases, make

from tfpwl import errors
from tfpwl.bundle import Bundle, sign, write_bundle
from tfpwl.runtime import ProgressiveModel, State


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny_files, tiny_fields, keys) -> Path:
    bundle = write_bundle(tmp_path_factory.mktemp("good") / "tiny", files=tiny_files, **tiny_fields)
    return sign(bundle, keys.private).root


@pytest.fixture(scope="module")
def spare(tiny_files) -> dict[str, bytes]:
    """Contents that a case may put in the place of a file."""
    teacher = tiny_files["g1.teacher"]
    return {**tiny_files, "junk": b"no flatbuffer at all" * 10, "half": teacher[: len(teacher) // 2]}


@pytest.fixture(scope="module")
def named_keys(keys, other_keys):
    return {"right": keys, "other": other_keys}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_a_broken_bundle_is_refused_as_the_table_says(case: Case, good, spare, tmp_path, named_keys):
    path = make(case, good, tmp_path / "broken", named_keys["right"].private, spare)
    key = named_keys[case["key"]].raw if "key" in case else None
    expected = getattr(errors, case["error"]) if case["error"] else None
    if expected is not None and case["at"] == "open":
        with pytest.raises(expected) as caught:
            ProgressiveModel.open(Bundle.open(path, public_key=key)).close()
        check(caught.value, expected, case)
        return
    with ProgressiveModel.open(Bundle.open(path, public_key=key)) as model:
        if expected is None:
            model.upgrade(background=False)
            assert model.state is State.COMPLETE
        else:
            with pytest.raises(expected) as caught:
                model.upgrade(background=False)
            check(caught.value, expected, case)
            assert model.state is State.FAILED
            # The step that failed left the mix before it answering.
            assert model.mix in [entry.mix for entry in model.bundle.manifest.path][:-1]
        assert np.isfinite(model.predict(np.ones((1, 6, 6, 1), np.float32))).all()


def check(error: Exception, expected: type[Exception], case: Case) -> None:
    assert type(error) is expected
    assert case["says"] in str(error)
