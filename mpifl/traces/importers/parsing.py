"""Read text, JSON, arrays and numbers; errors are InputErrors that name file, line or key."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError
from mpifl.io.compressed import read_bytes

SHOWN = 60  # characters of a wrong value in an error message


def shown(value: object) -> str:
    """Return a value as an error message shows it: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def names(paths: Sequence[Path]) -> str:
    """Return the names of the first few files, and how many more there are."""
    first = ", ".join(path.name for path in paths[:3])
    return first + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark. Raises InputError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises InputError; also for a key that occurs twice and for NaN and infinite numbers.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    raise InputError(f"{path}: key {shown(key)} stands twice")
                seen.add(key)
        return value

    def refuse(constant: str) -> Any:
        raise InputError(f"{path}: {constant} is not a number that JSON allows")

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    except RecursionError:
        raise InputError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:  # a number with more digits than Python converts
        raise InputError(f"{path}: not JSON that can be read ({error})") from None


def read_array(path: Path) -> np.ndarray:
    """Return the array of an .npy file, also when compressed as .npy.xz.

    Raises InputError; also for arrays of Python objects.
    """
    try:
        stream = io.BytesIO(read_bytes(path))
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError("there is more behind its end")
        return array
    except InputError:
        raise
    except Exception as error:  # NumPy's header reader raises exceptions of any type
        message = f"not an .npy array of numbers, or not complete ({error})"
        raise InputError(f"{path}: {message}") from error


def numbers(path: Path, column: Sequence[str], lines: Sequence[int], name: str) -> np.ndarray:
    """Return a column of text as float64.

    ``lines`` holds the line number of each row. Raises InputError naming the line, the column's
    ``name`` and the value for anything that is not a finite number.
    """
    try:
        if max(map(len, column), default=0) > SHOWN:  # NumPy pads every text to the longest
            raise ValueError
        values = np.array(column, dtype=np.str_).astype(np.float64) if len(column) else np.empty(0)
    except ValueError:
        values = np.array([_number(text) for text in column])

    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: line {lines[row]}: {name} {shown(column[row])}; must be a finite number"
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def only(paths: Sequence[Path], least: int, most: int, wanted: str) -> Sequence[Path]:
    """Return the paths. Raises InputError unless there are ``least`` to ``most`` of them."""
    if not least <= len(paths) <= most:
        raise InputError(f"{', '.join(map(str, paths))}: {len(paths)} files; expected {wanted}")
    return paths
