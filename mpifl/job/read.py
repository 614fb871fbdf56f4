"""Reads job files: YAML, overrides, and the components that a job names."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo

from mpifl.errors import InputError
from mpifl.io.files import is_file, shipped, shipped_names
from mpifl.job.component import COMPONENTS, Component, absolute_name, find_part, find_plug_ins
from mpifl.job.plug_in import PlugIn, check_recorded
from mpifl.job.problems import Problems, explain
from mpifl.job.schema import Job
from mpifl.job.section import Section
from mpifl.job.yaml_text import load_value, load_yaml


def read_job(name: str, overrides: Sequence[str] = ()) -> Job:
    """Return the job of a file, or of a job that ships with the package.

    ``overrides`` are ``section.key=value`` texts. Raises InputError with every problem, one line
    each: file, key, value, what is allowed.
    """
    path = Path(name)
    if not is_file(path):
        shipped_path = shipped("jobs", name)
        if shipped_path is None:
            names = ", ".join(shipped_names("jobs"))
            raise InputError(
                f"{name}: no such job file, and no job of that name ships with mpifl ({names})"
            )
        path = shipped_path

    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
        find_plug_ins(raw, path.parent)
        job = _job(raw, overrides)
        overridden = [override.partition("=")[0] for override in overrides]
        check_recorded(path.parent, job.plug_ins, overridden)
        return job
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    except InputError as error:
        raise error.within(str(path)) from error


def parse_job(raw: dict[str, Any]) -> Job:
    """Return the job of a nested mapping. Raises InputError with every problem, one line each."""
    return _job(raw, ())


def _job(raw: dict[str, Any], overrides: Sequence[str]) -> Job:
    problems = Problems()
    for override in overrides:
        with problems.noted():
            _apply(raw, override)

    raw = _plain_sections(raw, problems)
    schema = _schema_for(raw, problems)
    try:
        job = schema.model_validate(raw)
    except ValidationError as error:
        problems.lines += explain(schema, error)
    problems.end()
    return job


def dump_job(job: Job) -> str:
    """Return the job as YAML with every default written out; ``parse_job`` reads it back."""
    values = {name: getattr(job, name) for name in type(job).model_fields}
    return yaml.safe_dump(_plain(values), sort_keys=False, default_flow_style=None, width=100)


def difference(first: Job, second: Job) -> tuple[str, Any, Any] | None:
    """Return the first key in which two jobs differ, with both values; None if they are equal."""
    before = dict(_leaves(_plain(first)))
    after = dict(_leaves(_plain(second)))
    for key in [*before, *after]:
        if before.get(key) != after.get(key):
            return key, before.get(key), after.get(key)
    return None


def _plain(value: Any) -> Any:
    """Convert sections and tuples in ``value``, at any depth, to dicts and lists."""
    if isinstance(value, Section):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _leaves(plain: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of all values in nested dicts that are not dicts themselves."""
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _apply(raw: dict[str, Any], override: str) -> None:
    """Apply an override ``section.key=value`` to ``raw``, in place.

    The value is YAML. It may be a whole section: ``algorithm=fedyogi``.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{override!r}: an override looks like section.key=value")
    try:
        value = load_value(text)
    except InputError as error:
        why = error.lines[0].removeprefix("not valid YAML: ").removeprefix("line 1, ")
        raise InputError(f"{path}: {text[:80]!r} is not a YAML value ({why})") from error

    *parents, last = path.split(".")
    section = raw
    for depth, parent in enumerate(parents):
        inner = section.get(parent)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):  # the short form of a component: `algorithm: fedprox`
            inner = {_name_key(tuple(path.split(".")[: depth + 1])): inner}
        elif not isinstance(inner, dict):
            raise InputError(f"{override}: {parent} is not a section")
        section[parent] = inner
        section = inner
    section[last] = value


def _name_key(path: tuple[str, ...]) -> str:
    """Return the key that holds the name in the section at ``path``."""
    return next((c.key for c in COMPONENTS if c.path == path), "name")


def _plain_sections(raw: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Return a copy of ``raw`` in which the components are written out.

    Components that are missing or have no name get their defaults, ``algorithm: fedavg`` becomes
    ``algorithm: {name: fedavg}``, presets are expanded, and plug-in paths are made absolute.
    Problems are collected in ``problems``. The short form of other sections is left to ``Section``.
    """
    raw = dict(raw)
    for component in COMPONENTS:
        section: Any = raw
        for parent in component.path[:-1]:
            inner = section.get(parent, {})
            has_name = "name" in _section_class((parent,)).model_fields
            if isinstance(inner, str) and has_name:  # the short form: `data: digits`
                inner = {"name": inner}
            if not isinstance(inner, dict):
                break
            section[parent] = dict(inner)
            section = section[parent]
        else:
            last = component.path[-1]
            field = _field(component.path)
            if last not in section:
                if field.is_required():
                    continue
                section[last] = dict(field.default)
            value = _plain_component(component, section[last], problems)
            if isinstance(value, dict) and not field.is_required():
                value = {component.key: field.default[component.key], **value}
            section[last] = value
    return raw


def _plain_component(component: Component, value: Any, problems: Problems) -> Any:
    """Return a component's section with its short form, preset and plug-in path written out."""
    if isinstance(value, str):
        value = {component.key: value}
    if isinstance(value, dict) and "preset" in value:
        preset = value["preset"]
        value = {key: item for key, item in value.items() if key != "preset"}
        with problems.noted():
            value = _merged(component.preset(preset), value)
    if isinstance(value, dict) and isinstance(value.get(component.key), str):
        value = {**value, component.key: absolute_name(value[component.key])}
    return value


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with ``over``, nested dicts one by one."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            value = _merged(inner, value)
        merged[key] = value
    return merged


def _schema_for(raw: dict[str, Any], problems: Problems) -> type[Job]:
    """Return a Job class in which each component's field has the class that the job names.

    Names without a class are collected in ``problems``, and their fields are not typed.
    """
    types: dict[str, type[Section]] = {}
    plug_ins: dict[str, PlugIn] = {}
    for component in COMPONENTS:
        name = ".".join(component.path)
        section = raw
        for parent in component.path[:-1]:
            section = section[parent] if isinstance(section[parent], dict) else {}
        if component.path[-1] not in section:
            continue  # missing, or its parent is no section: the validation that follows says so
        if any(line.startswith(f"{name}.preset: ") for line in problems.lines):
            continue  # the preset is unknown, and with it the component's name

        with problems.noted():
            types[name], plug_in = _class_of(component, section[component.path[-1]])
            if plug_in is not None:
                plug_ins[component.key_path] = plug_in
    return _job_class(tuple(types.items()), tuple(plug_ins.items()))


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
    types: tuple[tuple[str, type[Section]], ...], plug_ins: tuple[tuple[str, PlugIn], ...]
) -> type[Job]:
    fields: dict[str, Any] = {name: (section, ...) for name, section in types if "." not in name}
    inner: dict[str, dict[str, Any]] = {}
    for name, section in types:
        parent, _, last = name.rpartition(".")
        if parent:
            inner.setdefault(parent, {})[last] = (section, ...)

    for parent, components in inner.items():
        base = _section_class((parent,))
        fields[parent] = (create_model(base.__name__, __base__=base, **components), ...)
    job_class = create_model("Job", __base__=Job, **fields)
    job_class.plug_ins = dict(plug_ins)
    return job_class


def _field(path: tuple[str, ...]) -> FieldInfo:
    """Return the field of Job at a dotted path."""
    field = Job.model_fields[path[0]]
    for depth, name in enumerate(path[1:], 1):
        field = _section_class(path[:depth]).model_fields[name]
    return field


def _section_class(path: tuple[str, ...]) -> type[Section]:
    """Return the class of the section at a dotted path."""
    kind = _field(path).annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    return kind
