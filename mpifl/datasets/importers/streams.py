"""Files that may be compressed, read from front to back. Any error in them is an InputError."""

from __future__ import annotations

import contextlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from pydantic import AfterValidator, Field

from mpifl.errors import InputError
from mpifl.io.compressed import OPENERS
from mpifl.io.files import read_errors

CHUNK_BYTES = 1 << 22
"""About how much of a source an importer holds at once."""

_PIECE = 1 << 20  # bytes of one read
LONGEST_LINE_BYTES = 1 << 28


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Open a file as a Stream; decompress it if its name ends in ``.gz`` or ``.xz``."""
    with read_errors(path):
        file: IO[bytes] = OPENERS[path.suffix](path) if path.suffix in OPENERS else path.open("rb")
    try:
        yield Stream(path, file)
    finally:
        file.close()


class Stream:
    """Bytes read from front to back. ``path`` names them in messages."""

    def __init__(self, path: Path | str, file: IO[bytes]) -> None:
        self.path = Path(path)
        self.file = file

    def take(self, count: int) -> bytearray:
        """Return the next ``count`` bytes. Raise InputError if there are fewer.

        Memory grows with the bytes that are read: a wrong ``count`` does not allocate it.
        """
        taken = bytearray()
        while len(taken) < count:
            with read_errors(self.path):
                piece = self.file.read(min(_PIECE, count - len(taken)))
            if not piece:
                missing = count - len(taken)
                raise InputError(f"{self.path}: truncated: {missing} bytes are missing at its end")
            taken += piece
        return taken

    def end(self) -> None:
        """Raise InputError unless all bytes have been read."""
        with read_errors(self.path):
            more = self.file.read(1)
        if more:
            raise InputError(f"{self.path}: more bytes than its header declares")


def text_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text without their line ends, numbered from 1.

    In ``encoding`` an ASCII character is one byte. A byte order mark of UTF-8 at the beginning is
    skipped. Raise InputError naming file and line.
    """
    with opened(path) as stream:
        number = 0
        while True:
            with read_errors(path):
                raw = stream.file.readline(LONGEST_LINE_BYTES + 1)
            if not raw:
                return
            number += 1
            if len(raw) > LONGEST_LINE_BYTES:
                raise InputError(f"{path}: line {number}: more than {LONGEST_LINE_BYTES:,} bytes")

            try:
                content = raw.removeprefix(BOM_UTF8) if number == 1 else raw
                yield number, content.decode(encoding).rstrip("\r\n")
            except UnicodeError as error:
                reason = getattr(error, "reason", error)
                raise InputError(
                    f"{path}: line {number}: not {encoding.upper()} ({reason})"
                ) from error


def _check_encoding(name: str) -> str:
    """Return the name. Raise ValueError if ``text_lines`` does not take that encoding."""
    try:
        is_ascii_compatible = "\n,:09AZaz".encode(name) == b"\n,:09AZaz"
    except LookupError:
        is_ascii_compatible = False
    if not is_ascii_compatible:
        raise ValueError(
            "not an encoding with one byte for each character of ASCII;"
            " allowed: utf-8, latin-1, cp1252, ..."
        )
    return name


Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(description="encoding of the files, such as latin-1"),
]
"""An option of an importer: an encoding that ``text_lines`` takes."""
