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
        folder = self.path(stage, key)
        # Of a run that was killed between the rename and this removal.
        shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
        return folder.is_dir()

    def forget(self, stage: str, key: str) -> None:
        """Remove an artifact; what an interrupted run has done so far stays, it is the same work."""
        shutil.rmtree(self.path(stage, key), ignore_errors=True)

    @contextmanager
    def produce(self, stage: str, key: str) -> Iterator[Path]:
        """A folder to work in; it becomes the artifact when the block ends without an error.

        ``<folder>/checkpoint`` is kept for resuming and is not part of the artifact.

        Raises:
            TfpwlError: the folder cannot be written.
        """
        partial = self._partial(stage, key)
        with _writing(stage, partial):
            partial.mkdir(parents=True, exist_ok=True)
        yield partial
        with _writing(stage, partial):
            os.replace(partial, self.path(stage, key))
        # After the rename: killed in between, the run has its artifact, and before it, its checkpoint.
        shutil.rmtree(self.path(stage, key) / CHECKPOINT, ignore_errors=True)

    def _partial(self, stage: str, key: str) -> Path:
        return self.path(stage, key).with_name(self.path(stage, key).name + ".partial")


@contextmanager
def _writing(stage: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise TfpwlError(
            f"Stage {stage} cannot write {folder}: {exc}. Check free space and permissions, or give another "
            "folder with -o; finished stages are kept."
        ) from exc
