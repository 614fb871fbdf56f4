"""Parts of a job that are chosen by name: algorithms, models, selection rules, round policies, partitioners.

A registry is a plain dict in the package of the parts, ``{"fedavg": "mpifl.algorithms.fedavg:FedAvg", ...}``; a part is
imported only when a job names it. ``./mine.py:Mine`` or ``package.module:Mine`` names a class of the user's own: the one
way in which a job brings code.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.plug_in import PlugIn, plug_in_of_file, plug_in_of_module
from mpifl.job.schema import Job
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
    Component(("data", "partition"), "mpifl.datasets.partitioners", "mpifl.datasets.partitioners.partitioner:Partitioner"),
    Component(("model",), "mpifl.models", "mpifl.models.model:Model"),
    Component(("selection",), "mpifl.selection", "mpifl.selection.selection:Selection"),
    Component(("clock",), "mpifl.clock.policies", "mpifl.clock.policy:RoundPolicy", key="mode"),
    Component(("algorithm",), "mpifl.algorithms", "mpifl.algorithms.algorithm:Algorithm"),
)


def find_part(component: Component, name: Any) -> tuple[type[Section], PlugIn | None]:
    """The class that ``name`` stands for and, when it is a plug-in's, the source that it was made from.

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
    return _class(registry[name]), None


def absolute_name(name: str) -> str:
    """A plug-in's name with its file made absolute, so that the name means the same from anywhere."""
    file, colon, class_name = name.rpartition(":")
    return f"{os.path.abspath(file)}:{class_name}" if colon and file.endswith(".py") else name


def find_plug_ins(raw: dict[str, Any], folder: Path) -> None:
    """Make the names of plug-ins in a job file absolute, in place, where the plug-in is found from the file's ``folder``."""
    for component in COMPONENTS:
        section: Any = raw
        for part in component.path[:-1]:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            continue
        last = component.path[-1]
        if isinstance(section.get(last), dict):
            section, last = section[last], component.key
        if isinstance(section.get(last), str):
            section[last] = _name_from(folder, section[last])


def _name_from(folder: Path, name: str) -> str:
    file, colon, class_name = name.rpartition(":")
    found = colon and file.endswith(".py") and is_file(folder / file)
    return f"{os.path.abspath(folder / file)}:{class_name}" if found else name


def part_name(job: Job, key: str) -> str:
    """The name that the job gives at ``key``, such as ``algorithm.name``."""
    found: Any = job
    for part in key.split("."):
        found = getattr(found, part)
    return str(found)


def with_names(job: Job, names: Mapping[str, str]) -> Job:
    """The job with plug-ins named otherwise; ``names`` by key, such as ``algorithm.name``."""
    for key, name in names.items():
        *path, last = key.split(".")
        job = _replaced(job, path, last, name)
    return job


def _replaced(section: Any, path: list[str], key: str, value: str) -> Any:
    if not path:
        return section.model_copy(update={key: value})
    inner = _replaced(getattr(section, path[0]), path[1:], key, value)
    return section.model_copy(update={path[0]: inner})


def _class(where: str) -> type[Section]:
    module, _, class_name = where.partition(":")
    found: type[Section] = getattr(importlib.import_module(module), class_name)
    return found


def _plug_in(component: Component, name: str) -> tuple[type[Section], PlugIn]:
    where, _, class_name = name.rpartition(":")
    try:
        is_path = where.endswith(".py")
        plug_in = plug_in_of_file(Path(os.path.abspath(where))) if is_path else plug_in_of_module(where)
    except InputError as error:
        raise InputError(f"{component.key_path}: {error}") from error
    try:
        module = plug_in.module()
    except Exception as error:
        failed = f"{plug_in.where} failed to load" if plug_in.from_file else f"cannot import {where!r}"
        raise InputError(f"{component.key_path}: {failed}: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    base = component.base_class()
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{component.key_path}: {name!r}: no class {class_name} there made from {base.__name__}")
    return found, plug_in
