"""Files that are read whole and may be packed with gzip or xz.

A small file that unpacks to gigabytes is refused, not held in memory.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpifl.errors import InputError

OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open}
MOST_BYTES = 1 << 31


def read_bytes(path: Path) -> bytes:
    """Return all bytes of a file, unpacked if its name ends in ``.gz`` or ``.xz``.

    Raises InputError when it cannot be read, or has more than MOST_BYTES when unpacked.
    """
    opener = OPENERS.get(path.suffix)
    try:
        if opener is None:
            return path.read_bytes()
        with opener(path) as file:
            raw: bytes = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: {error}") from error

    if len(raw) > MOST_BYTES:
        raise InputError(
            f"{path}: more than {MOST_BYTES:,} bytes when unpacked; if that is right, unpack it"
            " yourself and name the unpacked file"
        )
    return raw
