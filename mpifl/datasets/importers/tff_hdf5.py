"""TensorFlow Federated's HDF5, client by client: ``examples/<client>/<field>``, one row a sample."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from mpifl.datasets.importers.leaf_json import shown
from mpifl.errors import InputError
from mpifl.io.hdf5 import check_heaps, hdf5_errors

MOST_BYTES = 1 << 30
"""Of one field of one client: a header that says more is a mistake, and would fill the memory."""

Client = tuple[str, str, dict[str, np.ndarray]]
"""Where (for messages), name, and the fields that were asked for: rows of numbers, or of bytes (object)."""


def fields_of(paths: list[Path]) -> dict[str, bool]:
    """The fields that the first client has, and whether they are text. Raises InputError when there are none."""
    with hdf5_errors(paths[0]), _opened(paths[0]) as file:
        for _, group in _groups(file, paths[0])[1]():
            return {name: group[name].dtype.kind in "OS" for name in group}
    raise InputError(f"{paths[0]}: examples has no clients")


def clients_of(paths: list[Path], fields: list[str], skip_empty: bool = False) -> Iterator[Client]:
    """The clients of the files that have samples, one held at a time.

    Raises InputError naming file and client for a file that is damaged or in another layout, a field that is not there or has
    another number of rows, a client that is there twice, and unless ``skip_empty`` for clients without samples.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        empty = []
        with hdf5_errors(path), _opened(path) as file:
            count, groups = _groups(file, path)
            for name, group in groups():
                where = f"{path}: client {name!r}"
                if name in seen:
                    raise InputError(f"{where} is there already, in {seen[name]}")
                seen[name] = path
                found = {field: _rows(group, field, where) for field in fields}
                lengths = {field: len(rows) for field, rows in found.items()}
                if len(set(lengths.values())) > 1:
                    raise InputError(f"{where}: rows of {', '.join(f'{field} {n}' for field, n in lengths.items())}")
                if min(lengths.values()):
                    yield where, name, found
                else:
                    empty.append(name)
        if not count:
            raise InputError(f"{path}: examples has no clients")
        if empty and not skip_empty:
            raise InputError(f"{path}: no samples of {shown(empty)}; --skip-empty leaves such clients out")


def _opened(path: Path) -> h5py.File:
    check_heaps(path, sys.maxsize)  # texts lie all over the file
    return h5py.File(path, "r")


def _groups(file: h5py.File, path: Path) -> tuple[int, Callable[[], Iterator[tuple[str, h5py.Group]]]]:
    """How many clients there are, and each name with its group."""
    examples = file.get("examples")
    if not isinstance(examples, h5py.Group):
        raise InputError(f"{path}: no group examples; TFF's files have examples/<client>/<field>")

    def groups() -> Iterator[tuple[str, h5py.Group]]:
        for name in examples:
            group = examples[name]
            if not isinstance(group, h5py.Group):
                raise InputError(f"{path}: examples/{name} is no group; TFF's files have examples/<client>/<field>")
            yield name, group

    return len(examples), groups


def _rows(group: h5py.Group, field: str, where: str) -> np.ndarray:
    found = group.get(field)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{where}: no field {field!r}; there are: {', '.join(group)}")
    with hdf5_errors(Path(where)):
        if found.size * found.dtype.itemsize > MOST_BYTES:
            raise InputError(f"{where}: {field} is {found.dtype} {found.shape}: more than {MOST_BYTES:,} bytes of one client")
        rows = found[()]
    if not isinstance(rows, np.ndarray) or rows.ndim == 0 or rows.dtype.kind not in "biufOS":
        raise InputError(f"{where}: {field} is {found.dtype} {found.shape}; expected rows of numbers or of text")
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 and rows.dtype.kind in "OS" else rows


def texts(rows: np.ndarray, where: str) -> list[str]:
    """Rows of bytes as text. Raises InputError naming the row that is not UTF-8, or is no text."""
    found = []
    for k, row in enumerate(rows.tolist()):
        try:
            found.append(row.decode() if isinstance(row, bytes) else _none(row))
        except (UnicodeDecodeError, TypeError) as error:
            raise InputError(f"{where}, sample {k}: not text in UTF-8 ({error})") from error
    return found


def _none(row: object) -> str:
    raise TypeError(f"{str(row)[:40]!r}")
