"""Where stages leave their artifacts: one folder per stage and key, whole or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from tfpwl.errors import StoreError

CHECKPOINT = "checkpoint"
_KEY_LETTERS = 16
_LOCKS = ".locks"
_PARTIAL, _OLD = ".partial", ".old"
# How long a checkpoint that no build has gone on from is kept: who tries another learning rate for a day may come back.
_KEEP_CHECKPOINT_S = 7 * 24 * 3600
_POLL_S = 0.2
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

OnWait = Callable[[str], None]


@dataclass(frozen=True)
class Store:
    """A folder of artifacts, ``<root>/<stage>-<key>/``, that any number of builds may share.

    A stage works in ``<stage>-<key>.partial``, which is renamed when the stage is done. A run that is killed leaves the
    partial folder with its checkpoint, and the next run with the same key goes on from it. Who works in it holds the
    lock ``.locks/<stage>-<key>``, which the system releases when its holder dies; another build waits for the artifact.
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

    @contextmanager
    def produce(
        self, stage: str, key: str, *, again: bool = False, on_wait: OnWait = lambda holder: None
    ) -> Iterator[Path | None]:
        """A folder to work in; it becomes the artifact when the block ends without an error.

        ``<folder>/checkpoint`` is kept for resuming and is not part of the artifact.

        Args:
            stage: whose artifact.
            key: of what it is made from.
            again: make it even if it is there; it is replaced when the new one is whole.
            on_wait: called with the name of the process that is making it, before waiting for that.

        Yields:
            The folder, or None where the artifact is there by now: another process has made it.

        Raises:
            StoreError: the disk is full, or the folder cannot be written; finished artifacts are as they were.
        """
        final = self.path(stage, key)
        partial = final.with_name(final.name + _PARTIAL)
        with self.locked(final.name, on_wait), _writing(stage, final):
            if self.has(stage, key) and not again:
                yield None
                return
            partial.mkdir(parents=True, exist_ok=True)
            yield partial
            _replace(partial, final)
            # After the rename: killed in between, the run has its artifact, and before it, its checkpoint.
            shutil.rmtree(final / CHECKPOINT, ignore_errors=True)

    @contextmanager
    def locked(self, name: str, on_wait: OnWait = lambda holder: None) -> Iterator[None]:
        """Keep other processes (and threads) from what ``name`` stands for.

        Raises:
            StoreError: the lock file cannot be made.
        """
        path = self.root / _LOCKS / name
        lock = filelock.FileLock(path, on_acquired=_sign, poll_interval=_POLL_S)
        with _writing(name.partition("-")[0], path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                on_wait(_holder(path))
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def clean(self) -> None:
        """Remove what dead processes left and nobody will go on from: folders without a checkpoint, and old ones.

        A folder that somebody works in is left alone. What cannot be removed stays: this only makes room.
        """
        for folder in (*self.root.glob(f"*{_PARTIAL}"), *self.root.glob(f"*{_OLD}")):
            # `locked` would wait for its holder.
            lock = filelock.FileLock(self.root / _LOCKS / folder.stem, blocking=False, on_acquired=_sign)
            with suppress(OSError, filelock.Timeout), lock:
                if _is_stale(folder):
                    shutil.rmtree(folder)


def _is_stale(folder: Path) -> bool:
    checkpoint = folder / CHECKPOINT
    return not checkpoint.is_dir() or time.time() - checkpoint.stat().st_mtime > _KEEP_CHECKPOINT_S


def _replace(partial: Path, final: Path) -> None:
    """Rename, with what is there put aside first: no portable call exchanges two folders."""
    old = final.with_name(final.name + _OLD)
    shutil.rmtree(old, ignore_errors=True)
    if final.is_dir():
        os.rename(final, old)
    os.rename(partial, final)
    shutil.rmtree(old, ignore_errors=True)


def _sign(descriptor: int) -> None:
    """Say in the lock file who holds it, for those who wait."""
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8") or "another process"
    return "another process"


@contextmanager
def _writing(stage: str, folder: Path) -> Iterator[None]:
    """Turn what a full or read-only disk makes of any library's writing into one error."""
    try:
        yield
    except OSError as exc:
        if not _is_about(exc, folder):
            raise
        raise StoreError(
            f"Stage {stage} cannot write {folder}: {exc}. Check free space and permissions, or give another "
            "folder with -o; finished stages are kept."
        ) from exc


def _is_about(exc: OSError, folder: Path) -> bool:
    """Whether an error of the operating system is about writing below the store, not about data that a stage reads."""
    named = exc.filename is not None and os.fspath(folder.parent) in str(exc.filename)
    return named or exc.errno in _CANNOT_WRITE
