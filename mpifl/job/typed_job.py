"""The class of a job: Job, in which the components have the classes that the job names."""

from __future__ import annotations

import functools
import re
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from mpifl.errors import InputError
from mpifl.job.component import COMPONENTS, Component, find_part
from mpifl.job.plug_in import PlugIn
from mpifl.job.problems import Problems
from mpifl.job.schema import Job
from mpifl.job.section import Section


def typed_job(raw: dict[str, Any], problems: Problems) -> type[Job]:
    """Return a Job class in which each component's field has the class that the job names.

    Names without a class are collected in ``problems``, and their fields are not typed.
    """
    types: dict[str, Any] = {}
    plug_ins: dict[str, PlugIn] = {}
    for component in COMPONENTS:
        name = ".".join(component.path)
        section = raw
        for parent in component.path[:-1]:
            section = section[parent] if isinstance(section[parent], dict) else {}
        if component.path[-1] not in section:
            continue  # missing, or its parent is no section: the validation that follows says so
        preset = re.compile(rf"{re.escape(name)}(\.\d+)?\.preset: ")
        if any(preset.match(line) for line in problems.lines):
            continue  # the preset is unknown, and with it the component's name

        with problems.noted():
            given = section[component.path[-1]]
            found = _classes_of(component, given)
            classes = tuple(kind for kind, _ in found.values())
            types[name] = _tuple_of(classes) if component.several else classes[0]
            plug_ins |= {key: plug_in for key, (_, plug_in) in found.items() if plug_in}
    return _job_class(tuple(types.items()), tuple(plug_ins.items()))


def _tuple_of(classes: tuple[type[Section], ...]) -> Any:
    """Return the type of a tuple of instances of these classes, in this order."""
    return tuple.__class_getitem__(classes)


def _classes_of(component: Component, value: Any) -> dict[str, tuple[type[Section], PlugIn | None]]:
    """Return what ``_class_of`` does of a component, or of each in a list, by the name's key."""
    if not component.several:
        return {component.key_path: _class_of(component, value)}
    if not isinstance(value, list):
        raise InputError(
            f"{'.'.join(component.path)}: {value!r} is not a list; an example:"
            f" [{', '.join(list(component.registry())[:2])}]"
        )
    items = [(component.item(place), item) for place, item in enumerate(value)]
    return {one.key_path: _class_of(one, item) for one, item in items}


def _class_of(component: Component, section: Any) -> tuple[type[Section], PlugIn | None]:
    """Return the class that a component's section names and, for a plug-in, its source.

    Raises InputError.
    """
    if not isinstance(section, dict):
        name = ".".join(component.path)
        raise InputError(
            f"{name}: {section!r} is not a section (expected `{component.key}: ...` and options"
            " below it)"
        )
    if component.key not in section:
        raise InputError(
            f"{component.key_path}: missing; allowed: {', '.join(component.registry())}"
        )
    return find_part(component, section[component.key])


@functools.cache  # equal jobs have to be of the same class
def _job_class(
    types: tuple[tuple[str, Any], ...], plug_ins: tuple[tuple[str, PlugIn], ...]
) -> type[Job]:
    fields: dict[str, Any] = {name: (section, ...) for name, section in types if "." not in name}
    inner: dict[str, dict[str, Any]] = {}
    for name, section in types:
        parent, _, last = name.rpartition(".")
        if parent:
            inner.setdefault(parent, {})[last] = (section, ...)

    for parent, components in inner.items():
        base = section_class((parent,))
        fields[parent] = (create_model(base.__name__, __base__=base, **components), ...)
    job_class = create_model("Job", __base__=Job, **fields)
    job_class.plug_ins = dict(plug_ins)
    return job_class


def field_at(path: tuple[str, ...]) -> FieldInfo:
    """Return the field of Job at a dotted path."""
    field = Job.model_fields[path[0]]
    for depth, name in enumerate(path[1:], 1):
        field = section_class(path[:depth]).model_fields[name]
    return field


def section_class(path: tuple[str, ...]) -> type[Section]:
    """Return the class of the section at a dotted path."""
    kind = field_at(path).annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    return kind
