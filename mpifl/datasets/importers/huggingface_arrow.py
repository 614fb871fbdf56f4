"""Columns of Arrow batches as arrays of numpy, texts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError


def numbers(column: Any, where: str) -> np.ndarray | list[np.ndarray]:
    """A column (pyarrow.Array) of numbers, or of lists of them, or lists of lists.

    (rows, ...) where all lists of a level have one length; where the outer ones have lengths of their own, an array for each
    row. Raises InputError where there is no value, or one that is no number.
    """
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):  # the library's ArrayND
        column = column.storage
    if column.null_count:
        raise InputError(f"{where}: no value in {column.null_count} of {len(column)} places; each needs one")
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = (
            np.array(column.value_lengths()) if not pa.types.is_fixed_size_list(kind) else np.full(len(column), kind.list_size)
        )
        inner = numbers(column.flatten(), where)
        if isinstance(inner, list):
            raise InputError(f"{where}: lists whose inner lists differ in length; only the outer ones may")
        if len(set(lengths.tolist())) <= 1:
            return inner.reshape(len(column), -1, *inner.shape[1:]) if len(inner) else np.empty((len(column), 0))
        return np.split(inner, np.cumsum(lengths)[:-1])
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{where}: values of type {kind}; expected numbers")
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def texts(column: Any, where: str) -> list[str]:
    """A column of text. Raises InputError where there is none."""
    found = column.to_pylist()
    other = next((k for k, one in enumerate(found) if not isinstance(one, str)), None)
    if other is not None:
        raise InputError(f"{where}, sample {other}: {str(found[other])[:40]!r}; expected text")
    return found


def names(column: Any, where: str) -> list[str]:
    """A column of whole numbers or text as names. Raises InputError for one that is neither, or empty."""
    found = column.to_pylist()
    other = next((k for k, one in enumerate(found) if type(one) not in (int, str) or one == ""), None)
    if other is not None:
        raise InputError(f"{where}, sample {other}: {found[other]!r}; expected a client, a number or text")
    return [str(one) for one in found]


def images(column: Any, where: str) -> list[Path | bytes]:
    """A column of the library's Image: the bytes of each, or the file in which they are. Raises InputError where is neither."""
    found: list[Path | bytes] = []
    for k, one in enumerate(column.to_pylist()):
        inside = one or {}
        if inside.get("bytes") is None and not inside.get("path"):
            raise InputError(f"{where}, sample {k}: no image")
        found.append(Path(inside["path"]) if inside.get("bytes") is None else inside["bytes"])
    return found
