"""Which backend Keras will take, without importing it."""

from __future__ import annotations

import json
import os
from pathlib import Path


def keras_backend() -> str:
    """``KERAS_BACKEND``, else what ``keras.json`` says, else TensorFlow: Keras' own rule."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend") or "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
