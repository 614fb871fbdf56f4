"""Job files into checked jobs: YAML, overrides, and the classes that a job names."""

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
from mpifl.job.schema import Data, Job
from mpifl.job.section import Section
from mpifl.job.yaml_text import load_value, load_yaml


def read_job(where: str, overrides: Sequence[str] = ()) -> Job:
    """The job of a file (or of a job that ships with the package), with ``section.key=value`` overrides applied.

    Raises InputError with all that is wrong, a line each: file, key path, value, what is allowed.
    """
    path = Path(where)
    if not is_file(path):
        found = shipped("jobs", where)
        if found is None:
            names = ", ".join(shipped_names("jobs"))
            raise InputError(f"{where}: no such job file, and no job of that name ships with mpifl ({names})")
        path = found
    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
        find_plug_ins(raw, path.parent)
        job = _job(raw, overrides)
        check_recorded(path.parent, job.plug_ins, [override.partition("=")[0] for override in overrides])
        return job
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    except InputError as error:
        raise error.within(str(path)) from error


def parse_job(raw: dict[str, Any]) -> Job:
    """A job from its nested mapping. Raises InputError with all that is wrong, a line each."""
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
    """The job as YAML with every default written out; ``parse_job`` of it gives an equal job."""
    values = {name: getattr(job, name) for name in type(job).model_fields}
    return yaml.safe_dump(_plain(values), sort_keys=False, default_flow_style=None, width=100)


def difference(one: Job, other: Job) -> tuple[str, Any, Any] | None:
    """The first key in which two jobs differ, with both values; None when they are equal."""
    first, second = (dict(_leaves(_plain(job))) for job in (one, other))
    for key in [*first, *second]:
        if first.get(key) != second.get(key):
            return key, first.get(key), second.get(key)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _leaves(plain: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set ``section.key=value``; the value is YAML. A whole section may be given: ``algorithm=fedyogi``."""
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
    return next((c.key for c in COMPONENTS if c.path == path), "name")


def _plain_sections(raw: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """A copy with the default components, ``algorithm: fedavg`` as ``algorithm: {name: fedavg}``, plug-in files absolute.

    What is wrong is noted in ``problems``. The short form of sections that are no components is ``Section``'s.
    """
    raw = dict(raw)
    for component in COMPONENTS:
        section: Any = raw
        for parent in component.path[:-1]:
            inner = section.get(parent, {})
            inner = {"name": inner} if isinstance(inner, str) else inner  # the short form: `data: digits`
            if not isinstance(inner, dict):
                break
            section[parent] = dict(inner)
            section = section[parent]
        else:
            last, field = component.path[-1], _field(component.path)
            if last not in section:
                if field.is_required():
                    continue
                section[last] = dict(field.default)
            value = section[last]
            if isinstance(value, str):
                value = {component.key: value}
            if isinstance(value, dict) and "preset" in value:
                preset, value = value["preset"], {key: item for key, item in value.items() if key != "preset"}
                with problems.noted():
                    value = _merged(component.preset(preset), value)
            if isinstance(value, dict) and isinstance(value.get(component.key), str):
                value = {**value, component.key: absolute_name(value[component.key])}
            section[last] = value
    return raw


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` gives, section by section."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _schema_for(raw: dict[str, Any], problems: Problems) -> type[Job]:
    """The Job class with every component field typed by the class that the job names.

    What names no class is noted in ``problems``, and is of any type.
    """
    types: dict[str, type[Section]] = {}
    plug_ins: dict[str, PlugIn] = {}
    for component in COMPONENTS:
        name, section = ".".join(component.path), raw
        for parent in component.path[:-1]:
            section = section[parent] if isinstance(section[parent], dict) else {}
        if component.path[-1] not in section:
            continue  # missing, or in what is no section: left to the validation that follows
        if any(line.startswith(f"{name}.preset: ") for line in problems.lines):
            continue  # what its preset would have named is not known
        with problems.noted():
            types[name], plug_in = _part_of(component, section[component.path[-1]])
            if plug_in is not None:
                plug_ins[component.key_path] = plug_in
    return _job_class(tuple(types.items()), tuple(plug_ins.items()))


def _part_of(component: Component, given: Any) -> tuple[type[Section], PlugIn | None]:
    """The class that a component's section names and, when it is a plug-in's, its source. Raises InputError."""
    if not isinstance(given, dict):
        name = ".".join(component.path)
        raise InputError(f"{name}: {given!r} is not a section (expected `{component.key}: ...` and options below it)")
    if component.key not in given:
        raise InputError(f"{component.key_path}: missing; allowed: {', '.join(component.registry())}")
    return find_part(component, given[component.key])


@functools.cache  # so that equal jobs are of equal class
def _job_class(types: tuple[tuple[str, type[Section]], ...], plug_ins: tuple[tuple[str, PlugIn], ...]) -> type[Job]:
    fields: dict[str, Any] = {name: (found, ...) for name, found in types}
    partition = fields.pop("data.partition", None)
    data = create_model("Data", __base__=Data, partition=partition) if partition else Data
    found = create_model("Job", __base__=Job, data=(data, ...), **fields)
    found.plug_ins = dict(plug_ins)
    return found


def _field(path: tuple[str, ...]) -> FieldInfo:
    field = Job.model_fields[path[0]]
    for part in path[1:]:
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        field = field.annotation.model_fields[part]
    return field
