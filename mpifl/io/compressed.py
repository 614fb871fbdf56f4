"""Files that may be packed with gzip or xz."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mpifl.errors import InputError

OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open}
MOST_BYTES = 1 << 31


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading; it is unpacked if its name ends in ``.gz`` or ``.xz``.

    Raises InputError when it cannot be opened.
    """
    try:
        file: IO[bytes] = OPENERS[path.suffix](path) if path.suffix in OPENERS else path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return file


def read_bytes(path: Path) -> bytes:
    """Return all bytes of a file, unpacked if its name ends in ``.gz`` or ``.xz``.

    Raises InputError when it cannot be read. A small file that unpacks to more than MOST_BYTES is
    refused, not held in memory.
    """
    is_packed = path.suffix in OPENERS
    try:
        with open_bytes(path) as file:
            raw = file.read(MOST_BYTES + 1 if is_packed else -1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error

    if is_packed and len(raw) > MOST_BYTES:
        raise InputError(
            f"{path}: more than {MOST_BYTES:,} bytes when unpacked; if that is right, unpack it"
            " yourself and name the unpacked file"
        )
    return raw
