"""Progressive Weight Loading for .tflite: from a Keras teacher to a bundle that answers at once.

``import tfpwl`` is light (no TensorFlow, no Keras); :func:`build` is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tfpwl.pipeline import build

__all__ = ["__version__", "build"]


def __getattr__(name: str) -> Any:
    if name == "build":
        from tfpwl.pipeline import build  # noqa: PLC0415

        return build
    raise AttributeError(f"module 'tfpwl' has no attribute {name!r}")
