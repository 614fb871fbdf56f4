"""Which files are a plug-in's source: found by reading import statements, without running anything.

A plug-in is one Python file and all that an import statement in its files names, at any depth, as long as it is source that
nobody has installed. Such a file is either *beside* the plug-in (in its own folder, or in a package there), or it is found
on ``sys.path`` outside of site-packages (a project's own package). The standard library, installed packages and mpifl are
no part of it. Of a plug-in that is named as a module its own top-level package is, wherever it stands.
"""

from __future__ import annotations

import ast
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


@dataclass(frozen=True)
class _Root:
    """The folder in which a top-level module stands, and whether it is the plug-in's own."""

    folder: Path
    beside: bool


_Wanted = tuple[str, bool]
"""A module's dotted name, and whether the file that imports it stands beside the plug-in."""


def source_files(main: str, folder: Path | None) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """Return the files of the plug-in whose module is ``main``, and the installed top-level modules that they import.

    ``folder`` is the plug-in's own, or None for a module of ``sys.path``. Raises InputError for a file that cannot be read.
    """
    top = main.partition(".")[0]
    own = _Root(folder, True) if folder else _root_on_path(top, installed_too=True)
    roots: dict[_Wanted, _Root | None] = {(top, folder is not None): own}
    found: dict[_Wanted, SourceFile] = {}
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
        if (module, root.beside) in found:
            continue
        waiting += [(name, near) for name in _submodules(root.folder, module)]
        path = _located(root.folder, module)
        if path is None:  # a name in a module, a folder without __init__.py, or nothing: then the import says so
            continue
        file = _read(module, path, root)
        found[module, root.beside] = file
        waiting += [(name, root.beside and not _means_python_s(name, file)) for name in _imported(file)]

    files = sorted(found.values(), key=lambda file: (not file.beside, file.name))
    return tuple(files), tuple(sorted(others - NEVER_PART - set(sys.stdlib_module_names)))


def _root(top: str, folder: Path | None) -> _Root | None:
    """Where a module that a plug-in imports stands; None for what is no part of it."""
    if top in NEVER_PART:
        return None
    if folder is not None and (is_file(folder / f"{top}.py") or is_file(folder / top / "__init__.py")):
        return _Root(folder, True)
    if top in sys.stdlib_module_names:
        return None
    if folder is not None and (folder / top).is_dir():
        spec = find_spec(top)
        if spec is None or spec.origin is None:  # a folder without __init__.py comes after everything else
            return _Root(folder, True)
    return _root_on_path(top, installed_too=False)


def _root_on_path(top: str, installed_too: bool) -> _Root | None:
    spec = find_spec(top) if top not in NEVER_PART else None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        places = [Path(location).parent for location in spec.submodule_search_locations]
    else:
        places = [Path(spec.origin).parent] if spec.has_location and spec.origin else []
    for place in places:
        if installed_too or not _is_installed(place):
            return _Root(place, False)
    return None


def _is_installed(place: Path) -> bool:
    """Whether a folder of ``sys.path`` holds what a package manager has put there."""
    return bool(INSTALLED & set(place.parts)) or next(place.glob("*.dist-info"), None) is not None


def _located(folder: Path, module: str) -> Path | None:
    """The source of a module below a folder, as Python would find it."""
    base = folder.joinpath(*module.split("."))
    if is_file(base / "__init__.py"):
        return base / "__init__.py"
    if any(is_file(base.with_name(base.name + suffix)) for suffix in EXTENSION_SUFFIXES):
        return None  # Python takes the compiled one
    path = base.with_name(f"{base.name}.py")
    return path if is_file(path) else None


def _submodules(folder: Path, module: str) -> Iterator[str]:
    """The modules that ``from package import *`` may import, where ``module`` is package.*; else none."""
    package, _, star = module.rpartition(".")
    place = folder.joinpath(*package.split("."))
    if star == "*" and package and place.is_dir():
        for path in sorted(place.iterdir()):
            if (path.suffix == ".py" and path.stem != "__init__") or is_file(path / "__init__.py"):
                yield f"{package}.{path.stem}"


def _read(module: str, path: Path, root: _Root) -> SourceFile:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return SourceFile(module, path, path.relative_to(root.folder).as_posix(), source, root.beside)


def _imported(file: SourceFile) -> Iterator[str]:
    """Every dotted name that import statements of a file may import; ``a.*`` for ``from a import *``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loading the file says them
            tree = ast.parse(file.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # loading the file says what is wrong
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
    """Whether a file imports its own name: ``import copy`` in a file copy.py means Python's."""
    return name.partition(".")[0] == file.module and not file.is_package


def _absolute(node: ast.ImportFrom, file: SourceFile) -> str | None:
    """The module of ``from ... import``: "" for the plug-in's folder itself, None for what lies above it."""
    if not node.level:
        return node.module
    package = file.module.split(".")
    if not file.is_package:
        package = package[:-1]
    if node.level - 1 > len(package):
        return None
    kept = package[: len(package) - (node.level - 1)]
    return ".".join([*kept, *([node.module] if node.module else [])])
