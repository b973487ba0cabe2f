"""Where stages leave their artifacts: one folder per stage and key, whole or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfpwl.errors import TfpwlError

_KEY_LETTERS = 16
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Store:
    """A folder of artifacts, ``<root>/<stage>-<key>/``.

    A stage works in ``<stage>-<key>.partial``, which is renamed when the stage is done. A run that is killed leaves the
    partial folder with its checkpoint, and the next run with the same key goes on from it.
    """

    root: Path

    def path(self, stage: str, key: str) -> Path:
        """Where the artifact of ``stage`` with ``key`` is, or will be."""
        return self.root / f"{stage}-{key[:_KEY_LETTERS]}"

    def has(self, stage: str, key: str) -> bool:
        return self.path(stage, key).is_dir()

    def forget(self, stage: str, key: str) -> None:
        """Remove an artifact and what an interrupted run left of it."""
        for folder in (self.path(stage, key), self._partial(stage, key)):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def produce(self, stage: str, key: str) -> Iterator[Path]:
        """A folder to work in; it becomes the artifact when the block ends without an error.

        ``<folder>/checkpoint`` is kept for resuming and is not part of the artifact.

        Raises:
            TfpwlError: the folder cannot be written.
        """
        partial = self._partial(stage, key)
        try:
            partial.mkdir(parents=True, exist_ok=True)
            yield partial
            os.replace(partial, self.path(stage, key))
            # After the rename: killed in between, the run has its artifact, and before it, its checkpoint.
            shutil.rmtree(self.path(stage, key) / CHECKPOINT, ignore_errors=True)
        except OSError as exc:
            raise TfpwlError(
                f"Stage {stage} cannot write {partial}: {exc}. Check free space and permissions, or give another "
                "folder with -o; finished stages are kept."
            ) from exc

    def _partial(self, stage: str, key: str) -> Path:
        return self.path(stage, key).with_name(self.path(stage, key).name + ".partial")
