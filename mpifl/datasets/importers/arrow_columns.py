"""Columns of Arrow batches as NumPy arrays, texts, names and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mpifl.errors import InputError, counted

Kind = Literal["images", "text", "numbers"]


def numbers(column: Any, location: str) -> np.ndarray | list[np.ndarray]:
    """Return a column (pyarrow.Array) of numbers, of lists of numbers, or of nested lists.

    The result is (rows, ...) if all lists of a level have one length. If the lengths of the outer
    lists differ, it is a list with an array for each row. Raise InputError for a missing value, for
    a value that is no number, and for inner lists of different lengths.
    """
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):  # ArrayND of the library datasets
        column = column.storage
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise InputError(
            f"{location}: no value in {column.null_count} of {counted(len(column), 'place')}, the"
            f" first of which is number {row}; each needs one"
        )

    kind = column.type
    is_fixed = pa.types.is_fixed_size_list(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or is_fixed:
        lengths = (
            np.full(len(column), kind.list_size) if is_fixed else np.array(column.value_lengths())
        )
        inner = numbers(column.flatten(), location)
        if isinstance(inner, list):
            raise InputError(
                f"{location}: lists whose inner lists differ in length; only the outer ones may"
            )
        if len(set(lengths.tolist())) <= 1:
            if not len(inner):
                return np.empty((len(column), 0))
            return inner.reshape(len(column), -1, *inner.shape[1:])
        return np.split(inner, np.cumsum(lengths)[:-1])

    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
        kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{location}: values of type {kind}; expected numbers")
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def single_numbers(column: Any, location: str) -> np.ndarray:
    """Return a column with one number a row. Raise InputError for a column of lists."""
    values = numbers(column, location)
    if isinstance(values, list) or values.ndim != 1:
        raise InputError(f"{location}: lists; expected one number for each sample")
    return values


def texts(column: Any, location: str) -> list[str]:
    """Return a column of text. Raise InputError for a value that is no text."""
    values = column.to_pylist()
    wrong_row = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong_row is not None:
        value_text = str(values[wrong_row])[:40]
        raise InputError(f"{location}, sample {wrong_row}: {value_text!r}; expected text")
    return values


def names(column: Any, location: str) -> list[str]:
    """Return a column of whole numbers or text as names.

    Raise InputError for a value that is neither, and for an empty text.
    """
    values = column.to_pylist()
    wrong_row = next(
        (row for row, value in enumerate(values) if type(value) not in (int, str) or value == ""),
        None,
    )
    if wrong_row is not None:
        raise InputError(
            f"{location}, sample {wrong_row}: {values[wrong_row]!r};"
            " expected a client, a number or text"
        )
    return [str(value) for value in values]


def images(column: Any, location: str, opens_paths: bool) -> list[Path | bytes]:
    """Return the images of a column of bytes, or of the library's Image: bytes, or a file each.

    ``opens_paths`` allows files. Raise InputError for an entry without an image.
    """
    sources: list[Path | bytes] = []
    for row, value in enumerate(column.to_pylist()):
        image = value if isinstance(value, dict) else {"bytes": value}
        path = image.get("path") if opens_paths else None
        if image.get("bytes") is None and not path:
            raise InputError(f"{location}, sample {row}: no image")
        sources.append(Path(str(path)) if image.get("bytes") is None else image["bytes"])
    return sources


def kind_of(column_type: Any) -> Kind:
    """Return what samples of a column of the type (pyarrow.DataType) are."""
    import pyarrow as pa

    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    column_type = _without_views(column_type)
    if pa.types.is_string(column_type) or pa.types.is_large_string(column_type):
        return "text"
    if pa.types.is_binary(column_type) or pa.types.is_large_binary(column_type):
        return "images"
    if pa.types.is_struct(column_type) and column_type.get_field_index("bytes") >= 0:
        return "images"  # as the library datasets has them: {bytes, path}
    return "numbers"


def _without_views(column_type: Any) -> Any:
    """Return the type without views (pyarrow.DataType) that has the same values."""
    import pyarrow as pa

    if pa.types.is_string_view(column_type):
        return pa.large_string()
    if pa.types.is_binary_view(column_type):
        return pa.large_binary()
    if pa.types.is_list_view(column_type) or pa.types.is_large_list_view(column_type):
        return pa.large_list(column_type.value_field)
    return column_type


def plain(column: Any) -> Any:
    """Return a column (pyarrow.Array or ChunkedArray) as one array without dictionary or views.

    Raise ArrowInvalid for offsets that lead out of it, and for text that is not UTF-8.
    """
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    column.validate(full=True)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(_without_views(column.type))
