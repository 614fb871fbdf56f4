"""Text, CSV and JSON files. Any error in them is an InputError that names file and line."""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpifl.errors import InputError
from mpifl.io.compressed import open_bytes, read_bytes
from mpifl.io.files import read_errors

LONGEST_LINE_BYTES = 1 << 28


def text_lines(
    path: Path, encoding: str = "utf-8", whole: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text without their line ends, numbered from 1.

    The file is decompressed if its name ends in ``.gz`` or ``.xz``; one line is held at a time. A
    caller that holds all lines asks for ``whole``: then ``read_bytes`` limits what a file may
    unpack to. In ``encoding`` an ASCII character is one byte. A byte order mark of UTF-8 at the
    beginning is skipped. Raises InputError naming file and line.
    """
    number = 0
    source = io.BytesIO(read_bytes(path)) if whole else open_bytes(path)
    # A damaged packed file ends in an exception of any type. The caller's own do not come here.
    with source as file, read_errors(path):
        while raw := file.readline(LONGEST_LINE_BYTES + 1):
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


def csv_rows(
    path: Path,
    delimiter: str = ",",
    comment: str = "",
    encoding: str = "utf-8",
    skip_spaces: bool = False,
    whole: bool = False,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file: the number of a row's last line, and its cells as they are.

    Empty lines are skipped, and lines that begin with ``comment``. With ``skip_spaces`` spaces
    before a cell are not part of it. One row is held at a time; files, errors and ``whole`` are
    those of ``text_lines``.
    """
    last = 0  # line that the reader has taken last

    def lines() -> Iterator[str]:
        nonlocal last
        for number, line in text_lines(path, encoding, whole):
            last = number
            if not (comment and line.startswith(comment)):
                yield line + "\n"  # a quoted cell may go on in the next line

    csv.field_size_limit(LONGEST_LINE_BYTES)  # Python's own, 131,072, is less than a long text
    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=skip_spaces, strict=True)
    try:
        for row in reader:
            if row:
                yield last, row
    except csv.Error as error:
        raise InputError(f"{path}: line {last}: {error}") from error


def read_json(path: Path) -> Any:
    """Return the value of a JSON file in UTF-8, which may be compressed.

    Raises InputError; also for a key that occurs twice and for NaN and infinite numbers.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    raise InputError(f"{path}: key {key!r} stands twice")
                seen.add(key)
        return value

    def refuse(constant: str) -> Any:
        raise InputError(f"{path}: {constant} is not a number that JSON allows")

    try:
        text = read_bytes(path).decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    except RecursionError:
        raise InputError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:  # a number with more digits than Python converts
        raise InputError(f"{path}: not JSON that can be read ({error})") from None
