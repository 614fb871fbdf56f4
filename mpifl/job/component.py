"""Components: what a job chooses by name, such as the algorithm, the model or the round policy.

The registry of a kind of component is a plain dict in its package,
``{"fedavg": "mpifl.algorithms.fedavg:FedAvg", ...}``. A component is imported only when a job
names it. ``./mine.py:Mine`` or ``package.module:Mine`` names a class of the user's own: a plug-in.
That is the only way in which a job brings code.
"""

from __future__ import annotations

import difflib
import importlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.plug_in import PlugIn, plug_in_of_file, plug_in_of_module
from mpifl.job.plug_in_class import fault, load_error
from mpifl.job.schema import Job
from mpifl.job.section import Section


@dataclass(frozen=True)
class Component:
    """A kind of component.

    Attributes:
        path: The section of the job that chooses it.
        package: The package whose REGISTRY lists what can be chosen.
        base: The base class, as "module:Class".
        key: The key of the section that holds the name.
        several: Whether the section is a list, in which several of them can stand.
        more: A further package with a REGISTRY of such components.
    """

    path: tuple[str, ...]
    package: str
    base: str
    key: str = "name"
    several: bool = False
    more: str = ""

    @property
    def key_path(self) -> str:
        """The dotted key that holds the name, such as ``clock.mode``."""
        return ".".join((*self.path, self.key))

    def item(self, place: int) -> Component:
        """Return the component at a place of the list, from 0 on."""
        return replace(self, path=(*self.path, str(place)), several=False)

    def registry(self) -> dict[str, str]:
        """Return name -> "module:Class" of every component that ships with the package."""
        packages = (self.package, self.more) if self.more else (self.package,)
        registries = (importlib.import_module(package).REGISTRY for package in packages)
        return {name: target for registry in registries for name, target in registry.items()}

    def spelled_out(self, section: dict[str, Any]) -> dict[str, Any]:
        """Return a section with a name such as ``timm:resnet18`` as a name and an option.

        The package's PREFIXES say of which name what follows is which option.
        """
        name = section.get(self.key)
        prefixes = getattr(importlib.import_module(self.package), "PREFIXES", {})
        prefix, colon, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
        if not colon or prefix not in prefixes:
            return section

        option = prefixes[prefix]
        if option in section:
            raise InputError(
                f"{self.key_path}: {name!r} is not allowed with {'.'.join(self.path)}.{option}:"
                " they say the same; give one of them"
            )
        return {**section, self.key: prefix, option: rest}

    def presets(self) -> dict[str, dict[str, Any]]:
        """Return name -> options of every preset of the section."""
        return dict(getattr(importlib.import_module(self.package), "PRESETS", {}))

    def preset(self, name: Any, part: Any = None) -> dict[str, Any]:
        """Return the options for which ``preset: NAME`` of the section stands.

        ``part`` is the name beside it, if there is one. Raises InputError when there is no such
        preset, and for a part of mpifl that does not have its keys.
        """
        presets = self.presets()
        if not isinstance(name, str) or name not in presets:
            allowed = ", ".join(presets) or "none"
            raise InputError(
                f"{'.'.join(self.path)}.preset: {name!r} is not known; allowed: {allowed}"
            )
        options = presets[name]
        registry = self.registry()
        if isinstance(part, str) and part in registry:
            self._check_preset(name, options, part, _class(registry[part]))
        return options

    def _check_preset(
        self, name: str, options: Mapping[str, Any], part: str, kind: type[Section]
    ) -> None:
        """Raise InputError when a part lacks keys for which a preset stands."""
        unknown = options.keys() - kind.model_fields.keys()
        if unknown:
            own = {key: options[key] for key in options if key not in {*unknown, self.key}}
            instead = yaml.safe_dump(own, default_flow_style=True, width=1000).strip()
            others = f", and write what else it stands for: {instead}" if own else ""
            raise InputError(
                f"{'.'.join(self.path)}.preset: {name!r} is not allowed with {self.key_path}"
                f" {part!r}, which has no {min(unknown)}; leave the preset out{others}"
            )

    def base_class(self) -> type[Section]:
        """Return the class that plug-ins have to extend."""
        return _class(self.base)


COMPONENTS = (
    Component(
        ("data", "partition"),
        "mpifl.datasets.partitioners",
        "mpifl.datasets.partitioners.partitioner:Partitioner",
    ),
    Component(("model",), "mpifl.models", "mpifl.models.model:Model"),
    Component(("objective",), "mpifl.objectives", "mpifl.objectives.objective:Objective"),
    Component(("protocol",), "mpifl.protocols", "mpifl.protocols.protocol:Protocol"),
    Component(
        ("training", "optimizer"), "mpifl.optimizers", "mpifl.optimizers.optimizer:Optimizer"
    ),
    Component(
        ("training", "transform"), "mpifl.transforms", "mpifl.transforms.transform:Transform"
    ),
    Component(("selection",), "mpifl.selection", "mpifl.selection.selection:Selection"),
    Component(("clock",), "mpifl.clock.policies", "mpifl.clock.policy:RoundPolicy", key="mode"),
    Component(
        ("algorithm",),
        "mpifl.algorithms",
        "mpifl.algorithms.algorithm:Algorithm",
        more="mpifl.analytics",
    ),
    Component(("aggregation",), "mpifl.aggregation", "mpifl.aggregation.aggregation:Aggregation"),
    Component(("privacy",), "mpifl.privacy", "mpifl.privacy.privacy:Privacy"),
    Component(("exchange", "up"), "mpifl.exchange", "mpifl.exchange.stage:Stage", several=True),
    Component(("exchange", "down"), "mpifl.exchange", "mpifl.exchange.stage:Stage", several=True),
    Component(
        ("secure_aggregation",),
        "mpifl.secure_aggregation",
        "mpifl.secure_aggregation.secure_aggregation:SecureAggregation",
    ),
    Component(
        ("contribution",),
        "mpifl.contribution",
        "mpifl.contribution.contribution:Contribution",
    ),
    Component(("attacks",), "mpifl.attacks", "mpifl.attacks.attack:Attack", several=True),
    Component(
        ("record", "loggers"),
        "mpifl.record.loggers",
        "mpifl.record.loggers.logger:Logger",
        several=True,
    ),
)


def find_part(component: Component, name: Any) -> tuple[type[Section], PlugIn | None]:
    """Return the class for which ``name`` stands and, for a plug-in, its source.

    Raises InputError, with the nearest name or preset, for an unknown name, and for a plug-in that
    cannot be loaded.
    """
    if isinstance(name, str) and ":" in name:
        return _plug_in(component, name)

    registry = component.registry()
    if not isinstance(name, str) or name not in registry:
        preset = ".".join((*component.path, "preset"))
        presets = {one: f"{preset}: {one}" for one in component.presets()}
        near = difflib.get_close_matches(str(name), [*presets, *registry], n=1)
        hint = f"did you mean {presets.get(near[0], near[0])}? " if near else ""
        more = f"; {preset} takes {', '.join(presets)}" if presets else ""
        raise InputError(
            f"{component.key_path}: {name!r} is not known; {hint}allowed: {', '.join(registry)},"
            f" or ./file.py:Class{more}"
        )
    return _class(registry[name]), None


def absolute_name(name: str) -> str:
    """Return a plug-in's name with the path of its file made absolute; other names unchanged."""
    file, colon, class_name = name.rpartition(":")
    return f"{os.path.abspath(file)}:{class_name}" if colon and file.endswith(".py") else name


def find_plug_ins(raw: dict[str, Any], folder: Path) -> None:
    """Make plug-in paths of a job file absolute, in place, where they exist relative to ``folder``.

    ``folder`` is the one that holds the job file.
    """
    for component in COMPONENTS:
        section: Any = raw
        for key in component.path[:-1]:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            continue

        last = component.path[-1]
        value = section.get(last)
        if isinstance(value, list):
            section[last] = [_with_path(component, item, folder) for item in value]
        elif value is not None:
            section[last] = _with_path(component, value, folder)


def _with_path(component: Component, value: Any, folder: Path) -> Any:
    """Return what a job says of a component, with the path of its plug-in made absolute."""
    if isinstance(value, dict) and isinstance(value.get(component.key), str):
        return {**value, component.key: _name_from(folder, value[component.key])}
    return _name_from(folder, value) if isinstance(value, str) else value


def _name_from(folder: Path, name: str) -> str:
    file, colon, class_name = name.rpartition(":")
    exists = colon and file.endswith(".py") and is_file(folder / file)
    return f"{os.path.abspath(folder / file)}:{class_name}" if exists else name


def part_name(job: Job, key: str) -> str:
    """Return the component's name that the job gives at ``key``, such as ``algorithm.name``."""
    value: Any = job
    for field in key.split("."):
        value = value[int(field)] if isinstance(value, tuple) else getattr(value, field)
    return str(value)


def with_names(job: Job, names: Mapping[str, str]) -> Job:
    """Return the job with other component names, given by key, such as ``algorithm.name``."""
    for key, name in names.items():
        *path, last = key.split(".")
        job = _replaced(job, path, last, name)
    return job


def _replaced(section: Any, path: list[str], key: str, value: str) -> Any:
    if not path:
        return section.model_copy(update={key: value})
    if isinstance(section, tuple):
        place = int(path[0])
        changed = _replaced(section[place], path[1:], key, value)
        return (*section[:place], changed, *section[place + 1 :])
    inner = _replaced(getattr(section, path[0]), path[1:], key, value)
    return section.model_copy(update={path[0]: inner})


def _class(name: str) -> type[Section]:
    """Import "module:Class" and return the class."""
    module, _, class_name = name.partition(":")
    imported: type[Section] = getattr(importlib.import_module(module), class_name)
    return imported


def _plug_in(component: Component, name: str) -> tuple[type[Section], PlugIn]:
    source, _, class_name = name.rpartition(":")
    try:
        if source.endswith(".py"):
            plug_in = plug_in_of_file(Path(os.path.abspath(source)))
        else:
            plug_in = plug_in_of_module(source)
    except InputError as error:
        raise InputError(f"{component.key_path}: {error}") from error

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Field name .* shadows")  # ``fault`` tells
            module = plug_in.module()
    except Exception as error:
        failed = (
            f"{plug_in.where} failed to load" if plug_in.from_file else f"cannot import {source!r}"
        )
        raise InputError(f"{component.key_path}: {failed}: {load_error(error, plug_in)}") from error

    imported = getattr(module, class_name, None)
    base = component.base_class()
    if not (isinstance(imported, type) and issubclass(imported, base)):
        raise InputError(
            f"{component.key_path}: {name!r}: it has no class {class_name} that extends"
            f" {base.__name__}"
        )
    wrong = fault(imported, base)
    if wrong:
        raise InputError(f"{component.key_path}: {name!r}: {wrong}")
    return imported, plug_in
