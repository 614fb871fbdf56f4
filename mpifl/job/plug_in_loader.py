"""Imports a plug-in from the bytes that were hashed: never from a .pyc file or a file edited since.

Files beside a plug-in become modules of a package of their own, ``mpifl_plug_in_HASH``; their
import statements look there first. So two plug-ins may each bring a ``helper.py``, and the files
beside a plug-in hide no module from others. Files that were found on ``sys.path`` keep their names.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mpifl.errors import InputError


@dataclass(frozen=True)
class SourceFile:
    """One file of a plug-in.

    Attributes:
        module: Its dotted module name.
        path: Where it was read.
        name: Its path relative to the folder of the plug-in, or of ``sys.path``.
        source: Its bytes.
        beside: Whether it is beside the plug-in; other files were found on ``sys.path``.
        origin: The user's file of which it is a copy in a run directory; None if it is no copy.
    """

    module: str
    path: Path
    name: str
    source: bytes
    beside: bool
    origin: Path | None = None

    @property
    def is_package(self) -> bool:
        """Whether this is the ``__init__.py`` of a package."""
        return self.path.stem == "__init__" and self.module != "__init__"

    @property
    def shown(self) -> Path:
        """The path that tracebacks name: that of the user's own file, if it has these bytes still.

        A person edits that one, and not the copy. Once it was edited, its lines are others.
        """
        origin = self.origin
        with contextlib.suppress(OSError, ValueError):  # not to be read; not a path
            if origin is not None and origin.is_file() and origin.read_bytes() == self.source:
                return origin
        return self.path


def load(package: str, files: Sequence[SourceFile], main: SourceFile) -> ModuleType:
    """Import ``main`` of a plug-in's ``files`` and return it.

    Files beside the plug-in become modules of ``package``. Raises any exception that the import
    raises, and InputError for a module that was edited after this process imported it.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)

    beside = frozenset(file.module.partition(".")[0] for file in files if file.beside) - {"mpifl"}
    for file in files:
        if file.beside:
            name = f"{package}.{file.module}"
            _FINDER.loaders.setdefault(name, _Loader(name, file, package, beside))
            _FINDER.folders.update(parents(name))
        else:
            _FINDER.loaders[file.module] = _Loader(file.module, file)

    module = importlib.import_module(f"{package}.{main.module}" if main.beside else main.module)

    for file in files:
        before = None if file.beside else getattr(sys.modules.get(file.module), "__loader__", None)
        if isinstance(before, _Loader) and before.file.source != file.source:
            raise InputError(f"{file.path}: edited since this process imported it; start again")
    return module


def parents(module: str) -> list[str]:
    """Return the packages that importing a module imports first: a and a.b for a.b.c."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def find_spec(top: str) -> ModuleSpec | None:
    """Return the spec of the top-level module ``top`` as Python itself finds it, or None.

    Nothing is imported.
    """
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None or finder is _FINDER:
            continue
        try:
            spec: ModuleSpec | None = find(top, None)
        except (ImportError, ValueError, OSError):  # a name that can be no module's
            return None
        if spec is not None:
            return spec
    return None


class _Loader(SourceFileLoader):
    """Loader that runs the hashed bytes of a plug-in's file.

    Import statements in files beside the plug-in look for other such files first.
    """

    def __init__(
        self, name: str, file: SourceFile, package: str = "", beside: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(name, str(file.path))
        self.file = file
        self._package = package
        self._beside = beside

    def get_code(self, fullname: str) -> CodeType:
        """Compile the bytes.

        Python's own loader would take a .pyc file whose source had the same size and the same time
        in seconds.
        """
        code: CodeType = self.source_to_code(self.file.source, str(self.file.shown))
        return code

    def get_source(self, fullname: str) -> str:
        """Return the text, for tracebacks."""
        return decode_source(self.file.source)

    def exec_module(self, module: ModuleType) -> None:
        """Run the file, with its own ``__import__`` if it is beside the plug-in."""
        if self.file.beside:
            vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import ``name``: a file beside the plug-in if there is one, else as Python does."""
        top = name.partition(".")[0]
        # `import copy` in a file copy.py means Python's.
        itself = top == self.file.module and not self.file.is_package
        if level or top not in self._beside or itself:
            return builtins.__import__(name, globals, locals, fromlist or (), level)

        module = builtins.__import__(f"{self._package}.{name}", globals, locals, fromlist or (), 0)
        return module if fromlist else sys.modules[f"{self._package}.{top}"]


class _Finder:
    """Finder of plug-ins' modules, for ``sys.meta_path``.

    ``loaders`` are by full module name. ``folders`` are the names of the packages that hold the
    modules; they need no ``__init__.py``.
    """

    def __init__(self) -> None:
        self.loaders: dict[str, _Loader] = {}
        self.folders: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a plug-in's module, None for any other."""
        loader = self.loaders.get(name)
        if loader is None:
            return ModuleSpec(name, None, is_package=True) if name in self.folders else None
        spec = spec_from_file_location(name, loader.path, loader=loader)
        if spec is not None and loader.file.is_package and loader.file.beside:
            spec.submodule_search_locations = []  # only hashed files belong to the package
        return spec


_FINDER = _Finder()
