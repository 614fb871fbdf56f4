"""Parts of a job that are chosen by name: algorithms, models, selection rules, round policies, partitioners.

A registry is a plain dict in the package of the parts, ``{"fedavg": "mpifl.algorithms.fedavg:FedAvg", ...}``; a part is
imported only when a job names it. ``./mine.py:Mine`` or ``package.module:Mine`` names a class of the user's own: the one
way in which a job brings code.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mpifl.errors import InputError
from mpifl.files import is_file
from mpifl.job.section import Section


@dataclass(frozen=True)
class Component:
    """Where a job names a part (``path``), by which key, and which package lists the parts that there are."""

    path: tuple[str, ...]
    package: str
    base: str
    key: str = "name"

    @property
    def key_path(self) -> str:
        """The dotted key that holds the name, such as ``clock.mode``."""
        return ".".join((*self.path, self.key))

    def registry(self) -> dict[str, str]:
        """Name -> "module:Class" of every part that ships with the package."""
        registry: dict[str, str] = importlib.import_module(self.package).REGISTRY
        return registry

    def preset(self, name: Any) -> dict[str, Any]:
        """What ``preset: NAME`` of the section stands for. Raises InputError when there is no such preset."""
        presets: dict[str, dict[str, Any]] = getattr(importlib.import_module(self.package), "PRESETS", {})
        if not isinstance(name, str) or name not in presets:
            allowed = ", ".join(presets) or "none"
            raise InputError(f"{'.'.join(self.path)}.preset: {name!r} is not known; allowed: {allowed}")
        return presets[name]

    def base_class(self) -> type[Section]:
        """The class that a plug-in is made from."""
        return _class(self.base)


COMPONENTS = (
    Component(("data", "partition"), "mpifl.population.partitioners", "mpifl.population.partitioners.partitioner:Partitioner"),
    Component(("model",), "mpifl.models", "mpifl.models.model:Model"),
    Component(("selection",), "mpifl.selection", "mpifl.selection.selection:Selection"),
    Component(("clock",), "mpifl.clock", "mpifl.clock.policy:RoundPolicy", key="mode"),
    Component(("algorithm",), "mpifl.algorithms", "mpifl.algorithms.algorithm:Algorithm"),
)


def find_class(component: Component, name: Any) -> type[Section]:
    """The class that ``name`` stands for.

    Raises InputError with the nearest valid name when there is none, or when a plug-in cannot be loaded.
    """
    if isinstance(name, str) and ":" in name:
        return _plug_in(component, name)
    registry = component.registry()
    if not isinstance(name, str) or name not in registry:
        near = difflib.get_close_matches(str(name), registry, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        allowed = ", ".join(registry)
        raise InputError(f"{component.key_path}: {name!r} is not known; {hint}allowed: {allowed}, or ./file.py:Class")
    return _class(registry[name])


def absolute_name(name: str) -> str:
    """A plug-in's name with its file made absolute, so that a run directory's job.yaml runs from anywhere."""
    file, colon, class_name = name.rpartition(":")
    return f"{os.path.abspath(file)}:{class_name}" if colon and file.endswith(".py") else name


def _class(where: str) -> type[Section]:
    module, _, class_name = where.partition(":")
    found: type[Section] = getattr(importlib.import_module(module), class_name)
    return found


def _plug_in(component: Component, name: str) -> type[Section]:
    where, _, class_name = name.rpartition(":")
    module = _module_from_file(component, where) if where.endswith(".py") else _module_by_name(component, where)
    found = getattr(module, class_name, None)
    base = component.base_class()
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{component.key_path}: {name!r}: no class {class_name} there made from {base.__name__}")
    return found


def _module_by_name(component: Component, where: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except Exception as error:
        raise InputError(f"{component.key_path}: cannot import {where!r}: {type(error).__name__}: {error}") from error


def _module_from_file(component: Component, where: str) -> ModuleType:
    path = Path(os.path.abspath(where))
    module_name = f"mpifl_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    if not is_file(path):
        raise InputError(f"{component.key_path}: no file {path} (paths are taken from the working directory)")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # a .py path always has a spec and a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise InputError(f"{component.key_path}: {path} failed to load: {type(error).__name__}: {error}") from error
    return module
