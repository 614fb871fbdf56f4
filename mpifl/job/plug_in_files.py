"""Finds the source files of a plug-in by reading import statements; nothing is run.

A plug-in is one Python file and everything that the import statements in its files name, at any
depth, as far as it is source that is not installed. Such a file is either *beside* the plug-in (in
its own folder, or in a package there), or on ``sys.path`` outside of site-packages (a project's own
package). The standard library, installed packages and mpifl do not belong to it. If the plug-in is
named as a module, its own top-level package belongs to it even when installed.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.plug_in_loader import SourceFile, find_spec, parents

INSTALLED = {"site-packages", "dist-packages"}
NEVER_PART = {"mpifl"}

ORIGIN = "copied_from.txt"
"""The file beside a plug-in's copy in a run directory that names the folder it was copied from."""


@dataclass(frozen=True)
class _Root:
    """The folder that holds a top-level module; ``beside`` says that it is the plug-in's own."""

    folder: Path
    beside: bool


_Wanted = tuple[str, bool]
"""A module's dotted name, and whether the file that imports it is beside the plug-in."""


def source_files(main: str, folder: Path | None) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """Return the files of the plug-in ``main``, and the installed top-level modules they import.

    ``folder`` is the plug-in's own, or None for a module of ``sys.path``. Raises InputError for a
    file that cannot be read.
    """
    top = main.partition(".")[0]
    own = _Root(folder, True) if folder else _root_on_path(top, installed_too=True)
    origin = origin_of(folder) if folder else None
    roots: dict[_Wanted, _Root | None] = {(top, folder is not None): own}
    sources: dict[_Wanted, SourceFile] = {}
    others: set[str] = set()
    seen: set[_Wanted] = set()
    waiting: list[_Wanted] = [(main, folder is not None)]

    while waiting:
        wanted = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)

        module, near = wanted
        waiting += [(parent, near) for parent in parents(module)]
        top = module.partition(".")[0]
        if (top, near) not in roots:
            roots[top, near] = _root(top, folder if near else None)
        root = roots[top, near]
        if root is None:
            others.add(top)
            continue

        if (module, root.beside) in sources:
            continue
        waiting += [(name, near) for name in _submodules(root.folder, module)]
        path = _located(root.folder, module)
        # None for a name in a module, for a folder without __init__.py, and for a missing module:
        # then the import raises.
        if path is None:
            continue

        file = _read(module, path, root, origin if root.beside else None)
        sources[module, root.beside] = file
        waiting += [
            (name, root.beside and not _means_python_s(name, file)) for name in _imported(file)
        ]

    files = sorted(sources.values(), key=lambda file: (not file.beside, file.name))
    return tuple(files), tuple(sorted(others - NEVER_PART - set(sys.stdlib_module_names)))


def _root(top: str, folder: Path | None) -> _Root | None:
    """Return the root of a module that a plug-in imports; None if it is no part of the plug-in.

    ``folder`` is the plug-in's own, None for an import in a file that is not beside it.
    """
    if top in NEVER_PART:
        return None
    if folder is not None and (
        is_file(folder / f"{top}.py") or is_file(folder / top / "__init__.py")
    ):
        return _Root(folder, True)
    if top in sys.stdlib_module_names:
        return None

    if folder is not None and (folder / top).is_dir():
        spec = find_spec(top)
        # Python looks for a folder without __init__.py last.
        if spec is None or spec.origin is None:
            return _Root(folder, True)
    return _root_on_path(top, installed_too=False)


def _root_on_path(top: str, installed_too: bool) -> _Root | None:
    spec = find_spec(top) if top not in NEVER_PART else None
    if spec is None:
        return None

    if spec.submodule_search_locations:
        folders = [Path(location).parent for location in spec.submodule_search_locations]
    else:
        folders = [Path(spec.origin).parent] if spec.has_location and spec.origin else []
    for folder in folders:
        if installed_too or not _is_installed(folder):
            return _Root(folder, False)
    return None


def _is_installed(folder: Path) -> bool:
    """Return whether a folder of ``sys.path`` is one that a package manager fills."""
    return bool(INSTALLED & set(folder.parts)) or next(folder.glob("*.dist-info"), None) is not None


def _located(folder: Path, module: str) -> Path | None:
    """Return the source file of a module below a folder, as Python would find it; None if none."""
    base = folder.joinpath(*module.split("."))
    if is_file(base / "__init__.py"):
        return base / "__init__.py"
    if any(is_file(base.with_name(base.name + suffix)) for suffix in EXTENSION_SUFFIXES):
        return None  # Python takes the compiled one
    path = base.with_name(f"{base.name}.py")
    return path if is_file(path) else None


def _submodules(folder: Path, module: str) -> Iterator[str]:
    """Yield the modules that ``from package import *`` may import, for ``module`` "package.*".

    Yield nothing for other names.
    """
    package, _, star = module.rpartition(".")
    package_folder = folder.joinpath(*package.split("."))
    if star == "*" and package and package_folder.is_dir():
        for path in sorted(package_folder.iterdir()):
            if (path.suffix == ".py" and path.stem != "__init__") or is_file(path / "__init__.py"):
                yield f"{package}.{path.stem}"


def origin_of(folder: Path) -> Path | None:
    """Return the folder from which a plug-in was copied to ``folder``; None if it was not."""
    try:
        return Path(os.fsdecode((folder / ORIGIN).read_bytes()))
    except OSError:  # without it, messages name the copy
        return None


def _read(module: str, path: Path, root: _Root, origin: Path | None) -> SourceFile:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    name = path.relative_to(root.folder).as_posix()
    return SourceFile(module, path, name, source, root.beside, origin / name if origin else None)


def _imported(file: SourceFile) -> Iterator[str]:
    """Yield every dotted name that import statements of a file may import.

    For ``from a import *`` that is ``a.*``.
    """
    # Warnings and errors are left to the import of the file.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(file.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, file)
            if base is not None:
                names = [alias.name for alias in node.names]
                yield from ([base, *(f"{base}.{name}" for name in names)] if base else names)


def _means_python_s(name: str, file: SourceFile) -> bool:
    """Return whether a file imports its own name: ``import copy`` in copy.py means Python's."""
    return name.partition(".")[0] == file.module and not file.is_package


def _absolute(node: ast.ImportFrom, file: SourceFile) -> str | None:
    """Return the module of ``from ... import``.

    It is "" for the plug-in's folder itself, and None for a folder above it.
    """
    if not node.level:
        return node.module

    package = file.module.split(".")
    if not file.is_package:
        package = package[:-1]
    if node.level - 1 > len(package):
        return None
    kept = package[: len(package) - (node.level - 1)]
    return ".".join([*kept, *([node.module] if node.module else [])])
