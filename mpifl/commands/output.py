"""The file that a command writes: what is there already stays, unless the user says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mpifl.errors import InputError

Out = Annotated[Path, typer.Option("-o", "--out", help="The HDF5 file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over a file that is there already.")]


def check_output(path: Path, overwrite: bool) -> None:
    """Raise InputError, before any work is done, when a file cannot be written to ``path``, or is there and is to stay."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: is there already; name another file, or say --overwrite")
