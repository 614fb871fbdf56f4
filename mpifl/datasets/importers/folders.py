"""The files below folders, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mpifl.errors import InputError


def files_below(roots: list[Path], endings: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Yield each root with the paths of the files below it, relative to it, with ``/``.

    A folder's own files come first, then those of its folders; both are sorted by name. Only the
    names in one folder are held at a time. Hidden files and folders are skipped, and so are files
    whose names, in lower case, end in none of ``endings``. Raise InputError for a folder that
    cannot be read, a link to a folder that contains it, and a name that is not UTF-8.
    """
    for root in roots:
        for path in _walk(root, endings, frozenset()):
            below = path.relative_to(root).as_posix()
            try:
                below.encode()
            except UnicodeEncodeError as error:
                raw = os.fsencode(below)
                raise InputError(f"{root}: {raw!r}: the name is not UTF-8") from error
            yield root, below


def _walk(
    folder: Path, endings: tuple[str, ...], above: frozenset[tuple[int, int]]
) -> Iterator[Path]:
    """Yield the files of a folder, then those of its folders.

    ``above`` holds device and inode of the folders that contain it.
    """
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
    inode = (status.st_dev, status.st_ino)
    if inode in above:
        raise InputError(f"{folder}: a link to a folder that contains it")

    visible = [entry for entry in entries if not entry.name.startswith(".")]
    yield from (
        folder / entry.name
        for entry in visible
        if entry.name.lower().endswith(endings) and not entry.is_dir()
    )
    for entry in visible:
        if entry.is_dir():
            yield from _walk(folder / entry.name, endings, above | {inode})
