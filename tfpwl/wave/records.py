"""JSON files that are written whole or not at all: what a study has finished."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def read_record(path: Path) -> Json:
    """What :func:`write_record` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_record(path: Path, value: Json) -> None:
    """Write JSON to ``path`` in one rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)
