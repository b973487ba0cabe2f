"""The system's page cache: files put out of it for a cold start, into it for a warm one, and what is in it."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def evict(paths: Iterable[Path]) -> float | None:
    """Ask the system to drop the files' pages, and look whether it did.

    Dirty pages are written first, because they stay otherwise. Some file systems (tmpfs, some containers') keep
    their pages whatever they are asked.

    Returns:
        The share of the files' pages that is still there, 0..1; None where the system cannot tell.
    """
    chosen = list(paths)
    for path in chosen:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return resident_share(chosen)


def warm(paths: Iterable[Path]) -> float | None:
    """Read the files once, so that their pages are there, and look whether they are.

    Returns:
        As :func:`evict`.
    """
    chosen = list(paths)
    for path in chosen:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    return resident_share(chosen)


def resident_share(paths: Iterable[Path]) -> float | None:
    """The share of the files' pages that is in the page cache, 0..1; None where the system cannot tell."""
    there = total = 0
    for path in paths:
        pages = _pages(path)
        if pages is None:
            return None
        there += int(np.count_nonzero(pages))
        total += len(pages)
    return there / total if total else 0.0


def _pages(path: Path) -> np.ndarray | None:
    """Per page of the file, whether it is in memory."""
    size = path.stat().st_size
    if not size:
        return np.zeros(0, bool)
    mincore = getattr(ctypes.CDLL(None), "mincore", None)
    if mincore is None:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as mapped:
        # Mapping alone reads nothing.
        content = np.frombuffer(mapped, np.uint8)
        found = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        status = mincore(
            ctypes.c_void_p(content.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(found.ctypes.data)
        )
        del content  # the map cannot be closed while an array looks into it
    return None if status else (found & 1).astype(bool)
