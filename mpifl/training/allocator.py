"""Tuning of the C allocator: training frees the same memory in every step and takes it again."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 1 << 28
LARGEST_BYTES = 1 << 25
"""The largest allocation that is kept; glibc maps larger ones anew each time."""


def keep_freed_memory() -> None:
    """Make glibc keep up to KEPT_BYTES of freed memory instead of returning it to the system.

    Otherwise the activations of each step are new pages that the kernel has to clear, which takes
    an eighth of the time of a small network. With other C libraries do nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES)
