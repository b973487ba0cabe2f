"""Progressive Weight Loading for .tflite: from a Keras teacher to a bundle that answers at once.

``import tfpwl`` is light (no TensorFlow, no Keras); :func:`build` and :func:`build_tiers` are imported when they are
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tfpwl.pipeline.build import build
    from tfpwl.pipeline.tiers import build_tiers

__all__ = ["__version__", "build", "build_tiers"]


def __getattr__(name: str) -> Any:
    if name in ("build", "build_tiers"):
        from tfpwl.pipeline import build, build_tiers  # noqa: PLC0415

        return build if name == "build" else build_tiers
    raise AttributeError(f"module 'tfpwl' has no attribute {name!r}")
