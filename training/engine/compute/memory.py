"""Keeping the process small: what glibc would otherwise keep of freed tensors goes back at once.

Does nothing where the C library is another one.
"""

import ctypes
from functools import cache
from typing import Any

_M_MMAP_THRESHOLD = -3
LARGE_BYTES = 4 * 1024 * 1024


def large_blocks_apart() -> None:
    """Give every large tensor its own mapping, so that freeing it frees it.

    By itself glibc raises that bound to 32 MB as it goes, and buffers below it leave holes.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def release_memory() -> None:
    """Give freed memory back to the system."""
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None
