"""Memory that training frees and takes again in every step."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_BYTES = 1 << 28, 1 << 25


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to KEPT_BYTES, instead of giving it back to the system at once.

    Otherwise the activations of each step are new pages that the kernel clears first: an eighth of the time of a small network.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES)
