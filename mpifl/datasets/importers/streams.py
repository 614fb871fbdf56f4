"""Files that may be compressed, read from front to back. Any error in them is an InputError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from pydantic import AfterValidator, Field

from mpifl.errors import InputError
from mpifl.io.compressed import open_bytes
from mpifl.io.files import read_errors

CHUNK_BYTES = 1 << 22
"""About how much of a source an importer holds at once."""

_PIECE = 1 << 20  # bytes of one read


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Open a file as a Stream; decompress it if its name ends in ``.gz`` or ``.xz``."""
    with open_bytes(path) as file:
        yield Stream(path, file)


@contextlib.contextmanager
def json_errors(path: Path) -> Iterator[None]:
    """Convert an exception of ijson's in the block to an InputError of one line."""
    import ijson

    try:
        yield
    except ijson.JSONError as error:
        raw = error.args[0] if error.args else ""
        reason = raw.decode(errors="replace") if isinstance(raw, bytes) else str(error)
        raise InputError(
            f"{path}: not JSON in UTF-8, or truncated ({reason.splitlines()[0]})"
        ) from error


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
