"""Memory pages on a CPU: kept between steps instead of given back to the system and faulted in again."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_pages() -> bool:
    """Have this process keep what it frees. True where the C library can (glibc); elsewhere nothing happens.

    A training step frees and takes the same large tensors over and over; by default each of them is a mapping of its
    own, whose pages the system clears and maps anew every time. The process then holds on to the most it ever used.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))
