"""Say how to make a data set that a job names and that does not exist yet."""

from __future__ import annotations

import re
from pathlib import Path

from mpifl.datasets.catalogue.catalogue import read_catalogue
from mpifl.io.files import shipped, shipped_names


def how_to_make(name: str) -> str:
    """Return what to do to make the data set of a file's name, or of a name in the catalogue.

    This is the command, or the command that shows what to do. Jobs that ship with mpifl have the
    command in their first lines; the catalogue has one for every data set with an importer.
    """
    path = Path(name)
    command = _commands().get(path.name)
    entry = read_catalogue().get(path.stem.lower())

    if command is not None:
        shown = f" (`mpifl data show {entry.name}` says what is read)" if entry else ""
        return f"make it: {command} -o {name}{shown}"
    if entry is None:
        return (
            "make it with `mpifl data import`; `mpifl data list` shows the data sets that it knows"
        )
    if entry.importer is None:
        return f"nothing makes it: `mpifl data show {entry.name}` says why"

    file = name if path.suffix else f"{name}.h5"
    then = "" if path.suffix else f", then data.name={file}"
    last = f"mpifl data import {entry.importer} FOLDER -o {file}"
    return f"make it: `mpifl data show {entry.name}` has the steps, last {last}{then}"


def _commands() -> dict[str, str]:
    """Return, for each data set file of a shipped job, the command that writes it, without -o."""
    commands = {}
    for job in shipped_names("jobs"):
        path = shipped("jobs", job)
        assert path is not None  # the name is one of those that ship
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
        match = re.search(r"Make the data set first: (mpifl data import .*?) -o (\S+)", comment)
        if match:
            commands[match[2]] = match[1]
    return commands
