"""The files below folders, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mpifl.errors import InputError


def files_below(roots: list[Path], endings: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Each root with the paths of its files below it (with ``/``), folder by folder, by name; holds one folder's names.

    Hidden files and folders, and files whose names do not end in one of ``endings``, whatever their case, are passed over.
    Raises InputError for a folder that cannot be read, a link that leads in a circle, and names that are not UTF-8.
    """
    for root in roots:
        for path in _inside(root, endings, frozenset()):
            below = path.relative_to(root).as_posix()
            try:
                below.encode()
            except UnicodeEncodeError as error:
                raise InputError(f"{root}: {os.fsencode(below)!r}: the name is not UTF-8") from error
            yield root, below


def _inside(folder: Path, endings: tuple[str, ...], above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """The files of a folder, then those of its folders; ``above`` are device and inode of the folders that it is in."""
    try:
        found = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise InputError(f"{folder}: a link to a folder that it is in")
    shown = [entry for entry in entries if not entry.name.startswith(".")]
    yield from (folder / entry.name for entry in shown if entry.name.lower().endswith(endings) and not entry.is_dir())
    for entry in shown:
        if entry.is_dir():
            yield from _inside(folder / entry.name, endings, above | {here})
