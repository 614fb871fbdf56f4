"""The output file of a command. An existing file is kept unless the user says --overwrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mpifl.errors import InputError

Out = Annotated[Path, typer.Option("-o", "--out", help="The HDF5 file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]


def check_output(path: Path, overwrite: bool) -> None:
    """Raise InputError when ``path`` cannot be written, or exists without ``overwrite``.

    It is called before any work is done.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; name another file, or say --overwrite")
