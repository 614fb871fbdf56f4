"""Reading text, JSON and numbers so that whatever is wrong is an InputError that names file, line or key."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError
from mpifl.io.compressed import read_bytes

SHOWN = 60  # characters of a wrong value that are shown


def shown(value: object) -> str:
    """A value as it stands in an error."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def names(paths: Sequence[Path]) -> str:
    """The first few files' names, and how many more there are."""
    return ", ".join(path.name for path in paths[:3]) + (
        f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    )


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises InputError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """A JSON file in which no key may stand twice and no number be NaN or infinite. Raises InputError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise InputError(f"{path}: key {shown(twice)} stands twice")
        return found

    def refuse(constant: str) -> Any:
        raise InputError(f"{path}: {constant} is not a number that JSON allows")

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    except RecursionError:
        raise InputError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise InputError(f"{path}: not JSON that can be read ({error})") from None


def read_array(path: Path) -> np.ndarray:
    """The array of an .npy file, or of one packed as .npy.xz, unless it holds Python objects. Raises InputError."""
    try:
        stream = io.BytesIO(read_bytes(path))
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError("there is more behind its end")
        return array
    except InputError:
        raise
    except Exception as error:  # numpy's reader of headers raises anything
        raise InputError(f"{path}: not an .npy array of numbers, or not whole ({error})") from error


def numbers(where: Path, column: Sequence[str], lines: Sequence[int], what: str) -> np.ndarray:
    """A column of text as float64. Raises InputError naming the line and the value that is no finite number."""
    try:
        if (
            max(map(len, column), default=0) > SHOWN
        ):  # numpy makes every text as wide as the longest
            raise ValueError
        values = np.array(column, dtype=np.str_).astype(np.float64) if len(column) else np.empty(0)
    except ValueError:
        values = np.array([_number(text) for text in column])
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"{where}: line {lines[at]}: {what} {shown(column[at])}; must be a finite number"
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def only(paths: Sequence[Path], least: int, most: int, wanted: str) -> Sequence[Path]:
    """The paths, when there are as many as a format takes. Raises InputError."""
    if not least <= len(paths) <= most:
        raise InputError(f"{', '.join(map(str, paths))}: {len(paths)} files; expected {wanted}")
    return paths
