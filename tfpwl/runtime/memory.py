"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

# Of glibc's mallopt.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_BYTES = 4 << 20
_TRIM_BYTES = 1 << 20


@cache
def limit_retention() -> None:
    """Keep glibc from holding on to the memory of groups that are given back.

    By itself glibc raises its thresholds to the largest block that was ever freed (up to 32 and 64 MB). From then on
    a group loaded by another thread than the main one lies in that thread's arena, whose end not even
    ``malloc_trim`` gives back: after a downgrade of the CIFAR pair 14 of 33 MB stayed. With thresholds of 4 MB
    (blocks with a mapping of their own) and 1 MB (free memory at the end of an arena) less than 1 MB stays.

    This holds for the whole process; who has set glibc's thresholds in the environment keeps them.
    """
    if any(name.startswith(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")) for name in os.environ):
        return
    function = _libc_function("mallopt")
    if function is not None:
        function(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        function(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def trim() -> None:
    """Ask the allocator to give back what was freed.

    After the close of a 13 MB group 13 MB stayed with the process, and nothing after this call. Other allocators than
    glibc's do it by themselves.
    """
    function = _libc_function("malloc_trim")
    if function is not None:
        function(0)


@cache
def _libc_function(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name) if _is_glibc() else None
    except (OSError, AttributeError, TypeError):
        return None


def _is_glibc() -> bool:
    # musl and Android's bionic have a mallopt of other meaning, or none.
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
