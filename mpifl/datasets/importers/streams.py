"""Bytes of files that may be packed, read from front to back; whatever is wrong with them is an InputError naming the file."""

from __future__ import annotations

import contextlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mpifl.errors import InputError
from mpifl.io.compressed import OPENERS
from mpifl.io.hdf5 import hdf5_errors

CHUNK_BYTES = 1 << 22
"""About how much of a source an importer holds at once."""

_PIECE = 1 << 20
LONGEST_LINE_BYTES = 1 << 28


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """A file as a Stream; one whose name ends in ``.gz`` or ``.xz`` is unpacked on the way."""
    with hdf5_errors(path):
        file: IO[bytes] = OPENERS[path.suffix](path) if path.suffix in OPENERS else path.open("rb")
    try:
        yield Stream(path, file)
    finally:
        file.close()


class Stream:
    """Bytes from front to back. ``path`` names them in messages."""

    def __init__(self, path: Path | str, file: IO[bytes]) -> None:
        self.path, self.file = Path(path), file

    def take(self, count: int) -> bytearray:
        """The next ``count`` bytes. Raises InputError when there are fewer; no more memory is used than there are bytes."""
        found = bytearray()
        while len(found) < count:
            with hdf5_errors(self.path):
                piece = self.file.read(min(_PIECE, count - len(found)))
            if not piece:
                raise InputError(f"{self.path}: truncated: {count - len(found)} bytes are missing at its end")
            found += piece
        return found

    def end(self) -> None:
        """Raise InputError unless all has been read."""
        with hdf5_errors(self.path):
            more = self.file.read(1)
        if more:
            raise InputError(f"{self.path}: it goes on where its header says that it ends")


def text_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """The lines of a text without what ends them, numbered from 1. Raises InputError naming file and line.

    ``encoding`` is one in which ASCII is one byte a character. A mark of UTF-8 at the beginning is passed over.
    """
    with opened(path) as stream:
        number = 0
        while True:
            with hdf5_errors(path):
                raw = stream.file.readline(LONGEST_LINE_BYTES + 1)
            if not raw:
                return
            number += 1
            if len(raw) > LONGEST_LINE_BYTES:
                raise InputError(f"{path}: line {number}: more than {LONGEST_LINE_BYTES:,} bytes")
            try:
                yield number, (raw.removeprefix(BOM_UTF8) if number == 1 else raw).decode(encoding).rstrip("\r\n")
            except UnicodeError as error:
                raise InputError(
                    f"{path}: line {number}: not {encoding.upper()} ({getattr(error, 'reason', error)})"
                ) from error


def check_encoding(name: str) -> str:
    """The same name. Raises ValueError when it is no encoding that ``text_lines`` takes."""
    try:
        fits = "\n,:09AZaz".encode(name) == b"\n,:09AZaz"
    except LookupError:
        fits = False
    if not fits:
        raise ValueError("not an encoding with one byte for each character of ASCII; allowed: utf-8, latin-1, cp1252, ...")
    return name
