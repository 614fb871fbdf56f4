"""Files packed with gzip or xz that are read whole: a small file that unpacks to gigabytes is refused, not held."""

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
    """All bytes of a file; one whose name ends in ``.gz`` or ``.xz`` is unpacked. Raises InputError."""
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
            f"{path}: more than {MOST_BYTES:,} bytes when unpacked; unpack it, if it is what it should be"
        )
    return raw
