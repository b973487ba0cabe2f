"""The `teacher:` section as a stage's key has it: a Keras model by its content, wherever the file lies."""

from __future__ import annotations

import hashlib
from typing import Any

from tfpwl.config import PipelineConfig
from tfpwl.errors import ModelError


def describe_teacher(config: PipelineConfig) -> dict[str, Any]:
    """All that decides over the teacher, as plain data.

    Raises:
        ModelError: the file of ``teacher: {keras: …}`` cannot be read; names the line of the YAML.
    """
    section = config.teacher.model_dump(mode="json")
    if (path := config.teacher.keras) is not None:
        try:
            with path.open("rb") as file:
                section["keras"] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise ModelError(
                f"{config.place('teacher', 'keras')}: {path} cannot be read ({exc.strerror}); expected a model saved "
                "by Keras (.keras or .h5). Relative paths are taken from the folder of the YAML."
            ) from exc
    return section
