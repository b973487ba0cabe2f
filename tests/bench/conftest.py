from __future__ import annotations

import pytest

from tfpwl.bundle import Bundle


@pytest.fixture
def with_rivals(tiny_bundle: Bundle, tiny_whole: dict[str, bytes]) -> Bundle:
    """The tiny bundle, and both its sides in one piece where `find_rivals` looks for them."""
    folder = tiny_bundle.root.parent / "rivals"
    folder.mkdir()
    for side, content in tiny_whole.items():
        (folder / f"{side}.fp32.tflite").write_bytes(content)
    return tiny_bundle
