"""Plug-ins: the user's code that a job names, as ``./file.py:Class`` or ``package.module:Class``.

What a plug-in does is part of a run's identity. So its source is read once and hashed, the hashed
bytes are what is imported, and a run directory holds a copy and the hash. ``docs/extend.md``
describes this for users.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, is_file, whole_file
from mpifl.job.environment import ENVIRONMENT, recorded
from mpifl.job.plug_in_files import ORIGIN, origin_of, source_files
from mpifl.job.plug_in_loader import SourceFile, find_spec, load

COPIES = "plugins"
"""The folder of a run directory with the copies."""


@dataclass(frozen=True)
class PlugIn:
    """The source of a plug-in.

    Attributes:
        main: The dotted name of its main module.
        files: Its files.
        imports: Installed top-level modules that they import.
    """

    main: str
    files: tuple[SourceFile, ...]
    imports: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 over the names and bytes of all files."""
        digest = hashlib.sha256(self.main.encode())
        for file in self.files:
            digest.update(f"\0{file.name}\0{file.beside}\0{len(file.source)}\0".encode())
            digest.update(file.source)
        return digest.hexdigest()

    @property
    def main_file(self) -> SourceFile | None:
        """The file of the main module; None when Python has no source of it."""
        return next((file for file in self.files if file.module == self.main), None)

    @property
    def where(self) -> str:
        """The path of the main file, or the module's name: how messages name the plug-in."""
        return str(self.main_file.path) if self.main_file else self.main

    @property
    def from_file(self) -> bool:
        """Whether the job names a file. Files are copied; a ``package.module`` is not."""
        return self.main_file is not None and self.main_file.beside

    def module(self) -> ModuleType:
        """Import the main module and return it. Raises any exception that the import raises."""
        if self.main_file is None:
            return importlib.import_module(self.main)
        return load(f"mpifl_plug_in_{self.sha256[:16]}", self.files, self.main_file)

    def copy(self, folder: Path) -> Path:
        """Copy the plug-in's files into ``folder`` and return the main file's new path.

        Only files beside the plug-in are copied. ``ORIGIN`` names the folder of the user's own
        files, also in a copy of a copy. Raises DiskFull and OSError.
        """
        assert self.main_file is not None
        beside = self.main_file.path.parent

        contents = {file.name: file.source for file in self.files if file.beside}
        contents[ORIGIN] = os.fsencode(origin_of(beside) or beside)
        for name, content in contents.items():
            path = folder / name
            with disk_full_errors(folder):
                path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, len(content)) as partial:
                partial.write_bytes(content)

        return folder / self.main_file.name

    def facts(self) -> dict[str, Any]:
        """Return its entry in environment.json.

        That is its hash, the hash of each file, and the versions of the distributions that it
        imports.
        """
        files = {file.name: hashlib.sha256(file.source).hexdigest() for file in self.files}
        return {"sha256": self.sha256, "files": files, "imports": _versions(self.imports)}


def plug_in_of_file(path: Path) -> PlugIn:
    """Return the plug-in that is named as a file. Raises InputError."""
    if not is_file(path):
        raise InputError(
            f"no file {path} (a path in a job file is looked for beside that file, then in the"
            " working directory)"
        )
    if "." in path.stem:
        raise InputError(
            f"{path}: a plug-in's file name may hold no dot but that of .py; rename it"
        )
    return PlugIn(path.stem, *source_files(path.stem, path.parent))


def plug_in_of_module(module: str) -> PlugIn:
    """Return the plug-in that is named as a module that Python can import. Raises InputError."""
    files, imports = source_files(module, None)
    # A compiled module, or one in an archive, has no source: record its version at least.
    if not any(file.module == module for file in files):
        imports = (*imports, module.partition(".")[0])
    return PlugIn(module, files, imports)


def check_recorded(folder: Path, plug_ins: Mapping[str, PlugIn], overrides: Sequence[str]) -> None:
    """Check plug-ins against the environment.json of the run directory ``folder``.

    ``plug_ins`` are by the key that names them. ``overrides`` are the keys that the command line
    gives; a plug-in that it names is not checked. Raises InputError, with both hashes, for a
    plug-in whose source is not the one with which the run began. Without an environment.json the
    run had not begun, and nothing is checked.
    """
    before = recorded(folder, _sources) if plug_ins else None
    if before is None:
        return

    for key, plug_in in plug_ins.items():
        if any(f"{key}.".startswith(f"{override}.") for override in overrides):
            continue
        digest, files = before.get(key, (plug_in.sha256, {}))
        if digest != plug_in.sha256:
            here = plug_in.facts()["files"]
            changed = sorted(
                name for name in files.keys() | here.keys() if files.get(name) != here.get(name)
            )
            raise InputError(
                f"{key}: the source of {plug_in.where} has changed since the run began: sha256"
                f" {plug_in.sha256[:12]} here and {digest[:12]} in {folder / ENVIRONMENT}"
                f" ({', '.join(changed)}); restore it; to start another run with the new source,"
                f" name it on the command line: {key}=..."
            )


def _sources(environment: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the hash of each plug-in and those of its files by name, from environment.json."""
    return {
        key: (str(facts["sha256"]), dict(facts["files"]))
        for key, facts in environment.get("plug_ins", {}).items()
    }


def check_hashes(plug_ins: Mapping[str, PlugIn], hashes: Mapping[str, str]) -> None:
    """Check this rank's plug-ins against the hashes of rank 0's, both by key. Raises InputError."""
    for key, plug_in in plug_ins.items():
        if plug_in.sha256 != hashes[key]:
            raise InputError(
                f"{key}: the source of {plug_in.where} has sha256 {plug_in.sha256[:12]} on"
                f" {socket.gethostname()} and {hashes[key][:12]} on rank 0; every host has to have"
                " the same"
            )


def _versions(modules: tuple[str, ...]) -> dict[str, str | None]:
    """Return distribution -> version for top-level modules; missing modules are left out.

    A module that belongs to no distribution is listed by its own name, with None.
    """
    owners = _owners() if modules else {}
    versions: dict[str, str | None] = {}
    for module in modules:
        if module in owners:
            versions |= {name: importlib.metadata.version(name) for name in owners[module]}
        elif find_spec(module) is not None:
            versions[module] = None
    return dict(sorted(versions.items()))


@cache
def _owners() -> Mapping[str, list[str]]:
    """Return the distributions of each top-level module; to find them takes a moment."""
    return importlib.metadata.packages_distributions()
