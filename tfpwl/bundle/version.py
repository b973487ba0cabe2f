"""Which TFLite runtime is installed, in the numbering that .tflite files use.

The converter writes ``min_runtime_version`` in TensorFlow's numbering (1.5.0 … 2.21.0). LiteRT, TFLite's
successor, started again at 1.0, so that ``ai-edge-litert`` 2.3.0 is *newer* than TFLite 2.21.0 although its number
is lower. Comparing the numbers directly would refuse almost every bundle; :data:`TFLITE_LEVELS` translates.
"""

from __future__ import annotations

import re

from tfpwl.errors import MissingDependencyError, RuntimeTooOldError

OLDEST = "1.5.0"  # the first TFLite version that the converter's table knows

# From this ai-edge-litert on, files that ask for this TFLite at most can be run. 1.0 (September 2024) followed
# TFLite 2.17; 2.x is the runtime that we test files of TensorFlow 2.21 with. Operators newer than the table says
# are refused by the interpreter itself.
TFLITE_LEVELS = (((2, 0, 0), "2.21.0"), ((1, 0, 0), "2.17.0"))


def parse_version(text: str) -> tuple[int, int, int]:
    """``"2.16.1"`` as numbers; what follows the third one (``rc1``) does not count.

    Raises:
        ValueError: when the text is no version.
    """
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?", text)
    if found is None:
        raise ValueError(f"Received version {text!r}; expected numbers such as '2.16.0'.")
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def tflite_level(litert_version: str) -> str:
    """The newest TFLite version whose files this version of ``ai-edge-litert`` surely runs.

    Example:
        >>> tflite_level("1.2.0"), tflite_level("2.3.0")
        ('2.17.0', '2.21.0')
    """
    version = parse_version(litert_version)
    return next((level for first, level in TFLITE_LEVELS if version >= first), OLDEST)


def installed_tflite_level() -> str:
    """:func:`tflite_level` of the installed ``ai-edge-litert``.

    Raises:
        MissingDependencyError: when it is not installed.
    """
    try:
        # The package alone: its interpreter takes 0.2 s to import and is not needed for the number.
        import ai_edge_litert  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError(
            "ai-edge-litert, the TFLite runtime, is not installed. Install it with: pip install ai-edge-litert"
        ) from exc
    return tflite_level(ai_edge_litert.__version__)


def check_runtime(required: str, available: str) -> None:
    """Refuse what needs a newer runtime.

    Args:
        required: the bundle's ``requires.tflite_runtime``.
        available: a TFLite version, as from :func:`installed_tflite_level`.

    Raises:
        RuntimeTooOldError: when ``available`` is older.
    """
    if parse_version(available) < parse_version(required):
        raise RuntimeTooOldError(
            f"The bundle needs TFLite {required} and the installed runtime stands at {available}. "
            "Update it (pip install -U ai-edge-litert), or make the bundle at another precision or with an older "
            "TensorFlow."
        )
