"""The JSON schema of ``metrics.json``, which is shipped in the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def metrics_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what :meth:`BuildReport.to_json` writes.

    Example:
        >>> metrics_schema()["properties"]["format"]
        {'const': 'tfpwl-metrics'}
    """
    text = (resources.files("tfpwl.report") / "metrics.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
