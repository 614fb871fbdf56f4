"""Plug-ins: code of the user's that a job names, as ``./file.py:Class`` or ``package.module:Class``.

What a plug-in does is part of a run's identity, so its source is read once and hashed, what is imported is what was hashed,
and a run directory holds a copy and the hash (``docs/extend.md`` says it for users).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, is_file, whole_file
from mpifl.job.plug_in_files import source_files
from mpifl.job.plug_in_loader import SourceFile, find_spec, load

COPIES, ENVIRONMENT = "plugins", "environment.json"
"""Of a run directory: the folder with the copies, and the file with the hashes."""


@dataclass(frozen=True)
class PlugIn:
    """The source of a plug-in: the dotted name of its ``main`` module, its files, and what it imports that is installed."""

    main: str
    files: tuple[SourceFile, ...]
    imports: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 over the names and the bytes of all files."""
        digest = hashlib.sha256(self.main.encode())
        for file in self.files:
            digest.update(f"\0{file.name}\0{file.beside}\0{len(file.source)}\0".encode())
            digest.update(file.source)
        return digest.hexdigest()

    @property
    def main_file(self) -> SourceFile | None:
        """The file of the main module; None where Python has no source of it."""
        return next((file for file in self.files if file.module == self.main), None)

    @property
    def where(self) -> str:
        """The file that a user would look into, or the module's name."""
        return str(self.main_file.path) if self.main_file else self.main

    @property
    def from_file(self) -> bool:
        """Whether the job names a file. Those are copied; a ``package.module`` stays where Python finds it."""
        return self.main_file is not None and self.main_file.beside

    def module(self) -> ModuleType:
        """Import the main module. Raises whatever that raises."""
        if self.main_file is None:
            return importlib.import_module(self.main)
        return load(f"mpifl_plug_in_{self.sha256[:16]}", self.files, self.main_file)

    def copy(self, folder: Path) -> Path:
        """Write the files beside the plug-in into ``folder``; returns the main one's path. Raises DiskFull and OSError."""
        assert self.main_file is not None
        for file in self.files:
            if file.beside:
                path = folder / file.name
                with disk_full_errors(folder):
                    path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path, len(file.source)) as partial:
                    partial.write_bytes(file.source)
        return folder / self.main_file.name

    def facts(self) -> dict[str, Any]:
        """What environment.json says of it: its hash, each file's, and the versions of the distributions that it imports."""
        files = {file.name: hashlib.sha256(file.source).hexdigest() for file in self.files}
        return {"sha256": self.sha256, "files": files, "imports": _versions(self.imports)}


def plug_in_of_file(path: Path) -> PlugIn:
    """Read a plug-in that is named as a file. Raises InputError."""
    if not is_file(path):
        raise InputError(f"no file {path} (a path in a job file is looked for beside that file, then in the working directory)")
    if "." in path.stem:
        raise InputError(f"{path}: a plug-in's file name may hold no dot but that of .py; rename it")
    return PlugIn(path.stem, *source_files(path.stem, path.parent))


def plug_in_of_module(module: str) -> PlugIn:
    """Read a plug-in that is named as a module that Python can import. Raises InputError."""
    files, imports = source_files(module, None)
    if not any(file.module == module for file in files):  # compiled, or in an archive: its version at least
        imports = (*imports, module.partition(".")[0])
    return PlugIn(module, files, imports)


def check_recorded(folder: Path, plug_ins: Mapping[str, PlugIn], overrides: Sequence[str]) -> None:
    """Check plug-ins, by the key that names them, against the environment.json of the run directory ``folder``.

    ``overrides`` are the keys that the command line gives; a plug-in that it names anew is not checked. Raises InputError,
    with both hashes, for one whose source is not what the run began with. Where there is no such file it had not begun.
    """
    path = folder / ENVIRONMENT
    if not (plug_ins and is_file(path)):
        return
    try:
        recorded = json.loads(path.read_text(encoding="utf-8")).get("plug_ins", {})
        before = {key: (str(facts["sha256"]), dict(facts["files"])) for key, facts in recorded.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: damaged; put back what was there, or remove it to go on without what it says") from error

    for key, plug_in in plug_ins.items():
        if any(f"{key}.".startswith(f"{override}.") for override in overrides):
            continue
        digest, files = before.get(key, (plug_in.sha256, {}))
        if digest != plug_in.sha256:
            here = plug_in.facts()["files"]
            changed = sorted(name for name in files.keys() | here.keys() if files.get(name) != here.get(name))
            raise InputError(
                f"{key}: the source of {plug_in.where} has changed since the run began: sha256 {plug_in.sha256[:12]} here and"
                f" {digest[:12]} in {path} ({', '.join(changed)}); put it back as it was; to begin another run with what is"
                f" there now, name it on the command line: {key}=..."
            )


def check_hashes(plug_ins: Mapping[str, PlugIn], hashes: Mapping[str, str]) -> None:
    """Check the plug-ins of this rank against those of rank 0, both by key. Raises InputError."""
    for key, plug_in in plug_ins.items():
        if plug_in.sha256 != hashes[key]:
            raise InputError(
                f"{key}: the source of {plug_in.where} has sha256 {plug_in.sha256[:12]} on {socket.gethostname()} and"
                f" {hashes[key][:12]} on rank 0; every host has to have the same"
            )


def _versions(modules: tuple[str, ...]) -> dict[str, str | None]:
    """Distribution -> version of top-level modules that are there; a module that no distribution brought has None."""
    owners = importlib.metadata.packages_distributions() if modules else {}
    found: dict[str, str | None] = {}
    for module in modules:
        if module in owners:
            found |= {name: importlib.metadata.version(name) for name in owners[module]}
        elif find_spec(module) is not None:
            found[module] = None
    return dict(sorted(found.items()))
