"""How a data set that a job names, and that is not there, is made."""

from __future__ import annotations

import re
from pathlib import Path

from mpifl.datasets.catalogue.catalogue import read_catalogue
from mpifl.io.files import shipped, shipped_names


def how_to_make(name: str) -> str:
    """What to do for the data set of a file's name, or of one in the catalogue: the command, or where the commands are shown.

    Jobs that ship with mpifl have the command in their first lines; the catalogue has one for every data set with an importer.
    """
    path = Path(name)
    command = _commands().get(path.name)
    entry = read_catalogue().get(path.stem.lower())
    if command is not None:
        shown = f" (`mpifl data show {entry.name}` says what is read)" if entry else ""
        return f"make it: {command} -o {name}{shown}"
    if entry is None:
        return "make it with `mpifl data import`; `mpifl data list` shows the data sets that it knows"
    if entry.importer is None:
        return f"nothing makes it: `mpifl data show {entry.name}` says why"
    file = name if path.suffix else f"{name}.h5"
    then = "" if path.suffix else f", then data.name={file}"
    last = f"mpifl data import {entry.importer} FOLDER -o {file}"
    return f"make it: `mpifl data show {entry.name}` has the steps, last {last}{then}"


def _commands() -> dict[str, str]:
    """The file that a job's data set is written to -> the command that writes it, without ``-o FILE``."""
    found = {}
    for job in shipped_names("jobs"):
        path = shipped("jobs", job)
        assert path is not None  # it is one of those names
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
        command = re.search(r"Make the data set first: (mpifl data import .*?) -o (\S+)", comment)
        if command:
            found[command[2]] = command[1]
    return found
