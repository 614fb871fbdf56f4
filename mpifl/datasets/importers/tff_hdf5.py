"""TensorFlow Federated's HDF5, client by client.

The data sets are ``examples/<client>/<field>``, one row a sample.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from mpifl.datasets.importers.leaf_json import shown
from mpifl.errors import InputError
from mpifl.io.files import read_errors
from mpifl.io.hdf5 import check_heaps

MOST_BYTES = 1 << 30
"""Of one field of one client: a larger one is a damaged header, and would fill the memory."""

Client = tuple[str, str, dict[str, np.ndarray]]
"""Location (for messages), name, and the requested fields: rows of numbers or bytes (object)."""


def fields_of(paths: list[Path]) -> dict[str, bool]:
    """Return the fields of the first client, and whether each is text.

    Raise InputError if there are no clients.
    """
    with read_errors(paths[0]), _opened(paths[0]) as file:
        for _, group in _groups(file, paths[0])[1]():
            return {name: group[name].dtype.kind in "OS" for name in group}
    raise InputError(f"{paths[0]}: examples has no clients")


def clients_of(paths: list[Path], fields: list[str], skip_empty: bool = False) -> Iterator[Client]:
    """Yield the clients of the files that have samples, one held at a time.

    Raise InputError naming file and client for a file that is damaged or in another layout, a field
    that is missing or has another number of rows, a client in two files, and, unless
    ``skip_empty``, for clients without samples.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        empty = []
        with read_errors(path), _opened(path) as file:
            count, groups = _groups(file, path)
            for name, group in groups():
                location = f"{path}: client {name!r}"
                if name in seen:
                    raise InputError(f"{location} is already in {seen[name]}")
                seen[name] = path

                rows = {field: _rows(group, field, location) for field in fields}
                lengths = {field: len(values) for field, values in rows.items()}
                if len(set(lengths.values())) > 1:
                    counts = ", ".join(f"{field} {length}" for field, length in lengths.items())
                    raise InputError(f"{location}: different numbers of rows: {counts}")
                if min(lengths.values()):
                    yield location, name, rows
                else:
                    empty.append(name)

        if not count:
            raise InputError(f"{path}: examples has no clients")
        if empty and not skip_empty:
            raise InputError(
                f"{path}: no samples of {shown(empty)}; --skip-empty leaves such clients out"
            )


def _opened(path: Path) -> h5py.File:
    check_heaps(path, sys.maxsize)  # no limit: the heaps of texts lie all over the file
    return h5py.File(path, "r")


def _groups(
    file: h5py.File, path: Path
) -> tuple[int, Callable[[], Iterator[tuple[str, h5py.Group]]]]:
    """Return the number of clients, and a function that yields the name and group of each."""
    examples = file.get("examples")
    if not isinstance(examples, h5py.Group):
        raise InputError(f"{path}: no group examples; TFF's files have examples/<client>/<field>")

    def groups() -> Iterator[tuple[str, h5py.Group]]:
        for name in examples:
            group = examples[name]
            if not isinstance(group, h5py.Group):
                raise InputError(
                    f"{path}: examples/{name} is no group;"
                    " TFF's files have examples/<client>/<field>"
                )
            yield name, group

    return len(examples), groups


def _rows(group: h5py.Group, field: str, location: str) -> np.ndarray:
    """Return the rows of a field; texts (rows, 1) as (rows,)."""
    dataset = group.get(field)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{location}: no field {field!r}; there are: {', '.join(group)}")

    with read_errors(Path(location)):
        if dataset.size * dataset.dtype.itemsize > MOST_BYTES:
            raise InputError(
                f"{location}: {field} is {dataset.dtype} {dataset.shape}:"
                f" more than {MOST_BYTES:,} bytes of one client"
            )
        rows = dataset[()]
    if not isinstance(rows, np.ndarray) or rows.ndim == 0 or rows.dtype.kind not in "biufOS":
        raise InputError(
            f"{location}: {field} is {dataset.dtype} {dataset.shape};"
            " expected rows of numbers or of text"
        )
    is_text_column = rows.ndim == 2 and rows.shape[1] == 1 and rows.dtype.kind in "OS"
    return rows[:, 0] if is_text_column else rows


def texts(rows: np.ndarray, location: str) -> list[str]:
    """Return rows of bytes as text. Raise InputError naming a row that is no text in UTF-8."""
    decoded = []
    for k, row in enumerate(rows.tolist()):
        try:
            decoded.append(_decoded(row))
        except (UnicodeDecodeError, TypeError) as error:
            raise InputError(f"{location}, sample {k}: not text in UTF-8 ({error})") from error
    return decoded


def _decoded(row: object) -> str:
    if not isinstance(row, bytes):
        raise TypeError(f"{str(row)[:40]!r}")
    return row.decode()
