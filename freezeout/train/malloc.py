"""Memory pages on a CPU: kept between steps instead of being returned to the system and faulted in again."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_pages() -> bool:
    """Make this process keep the memory that it frees. Returns whether the C library supports it (glibc does).

    Training steps free and allocate the same large tensors repeatedly. By default each is a mapping of its own, whose
    pages the system clears and maps again every time. With this setting, memory use never falls below its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))
