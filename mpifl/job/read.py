"""Reads job files: YAML, overrides, and the components that a job names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mpifl.errors import InputError
from mpifl.io.files import is_file, shipped, shipped_names
from mpifl.job.component import COMPONENTS, Component, absolute_name, find_plug_ins
from mpifl.job.flat import flat
from mpifl.job.plug_in import check_recorded
from mpifl.job.problems import NEAR, Problems, explain
from mpifl.job.schema import Job
from mpifl.job.section import Section
from mpifl.job.typed_job import field_at, section_class, typed_job
from mpifl.job.yaml_text import load_value, load_yaml

COMMAND_LINE = "command line"
"""What stands in place of the job file in errors of what was given there."""

MORE = "rounds=+"
"""The beginning of an override that extends a run which is resumed."""

SETTLED = frozenset({"training.engine", "training.stack", "training.drop_last"})
"""Keys whose values a run may choose by the rest of the job."""


def read_job(name: str, overrides: Sequence[str] = ()) -> Job:
    """Return the job of a file, or of a job that ships with the package.

    ``overrides`` are ``section.key=value`` texts. Raises InputError with every problem, one line
    each: file, key, value, what is allowed.
    """
    path = find_job(name)
    overridden = [override.partition("=")[0] for override in overrides]
    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
        find_plug_ins(raw, path.parent)
        job = _job(raw, overrides)
        check_recorded(path.parent, job.plug_ins, overridden)
        return job
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a job file: it is no text in UTF-8 ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: {error}") from error
    except InputError as error:
        raise InputError(*(_told(line, overrides, path) for line in error.lines)) from error


def _told(line: str, overrides: Sequence[str], path: Path) -> str:
    """Return a line of an error with the file or the command line before it.

    The line begins with a key. Both stand there where a part of the key's section was overridden.
    """
    if line.startswith(" "):  # an excerpt of the file, below the error
        return line

    key = line.partition(":")[0].strip("'") + "."
    given = [override.partition("=")[0] + "." for override in overrides]
    no_override = any(line.startswith(repr(override)) for override in overrides)
    if no_override or any(key.startswith(one) for one in given):
        return f"{COMMAND_LINE}: {line}"
    if ": no such key" in line:
        line = _of_other_part(line, overrides)
    part = any(one.startswith(key) for one in given)
    return f"{path}, {COMMAND_LINE}: {line}" if part else f"{path}: {line}"


def _of_other_part(line: str, overrides: Sequence[str]) -> str:
    """Return the line about a key of the file that the part named on the command line lacks.

    Such as the ``alpha`` of a file's Dirichlet partition after ``data.partition.name=iid``.
    """
    key = line.partition(":")[0]
    for override in overrides:
        path, _, value = override.partition("=")
        section, _, last = path.rpartition(".")
        if last == _name_key(tuple(section.split("."))) and key.startswith(f"{section}."):
            return (
                f"{key}: no such key with {path} {value}; give {section}={value} instead, which"
                f" leaves out the other keys that the file has of {section}"
            )
    return line


def find_job(name: str) -> Path:
    """Return the file of a job: ``name`` itself, or the shipped job of that name.

    Raises InputError when there is neither.
    """
    path = Path(name)
    if is_file(path):
        return path

    shipped_path = shipped("jobs", name)
    if shipped_path is None:
        names = ", ".join(shipped_names("jobs"))
        if is_file(path / "job.yaml"):
            raise InputError(
                f"{name}: a run directory, not a job file; did you mean {path / 'job.yaml'}?"
            )
        here = [one.name for one in Path().glob("*.y*ml")]
        near = difflib.get_close_matches(name, [*shipped_names("jobs"), *here], n=1, cutoff=NEAR)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(
            f"{name}: no such job file, and no job of that name ships with mpifl ({names}){hint}"
        )
    return shipped_path


def parse_job(raw: dict[str, Any]) -> Job:
    """Return the job of a nested mapping. Raises InputError with every problem, one line each."""
    return _job(raw, ())


def _job(raw: dict[str, Any], overrides: Sequence[str]) -> Job:
    problems = Problems()
    for override in overrides:
        with problems.noted():
            _apply(raw, override)

    raw = _plain_sections(raw, problems)
    schema = typed_job(raw, problems)
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
    """Return the first key in which two jobs differ, with both values; None if they are equal.

    Keys that a run settles by others come last: their difference is a consequence.
    """
    before = flat(_plain(first))
    after = flat(_plain(second))
    for key in sorted([*before, *after], key=SETTLED.__contains__):
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


def _apply(raw: dict[str, Any], override: str) -> None:
    """Apply an override ``section.key=value`` to ``raw``, in place.

    The value is YAML. It may be a whole section: ``algorithm=fedyogi``.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{override!r}: an override looks like section.key=value")
    if override.startswith(MORE):
        raise InputError(
            f"rounds: {text} is not allowed: only `mpifl run --resume` adds rounds, to a run that"
            " has come to its end; name how many there are to be"
        )
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
            has_name = "name" in section_class((parent,)).model_fields
            if isinstance(inner, str) and has_name:  # the short form: `data: digits`
                inner = {"name": inner}
            if not isinstance(inner, dict):
                break
            section[parent] = dict(inner)
            section = section[parent]
        else:
            last = component.path[-1]
            field = field_at(component.path)
            if last not in section and field.is_required():
                continue
            given = section.get(last, field.default)
            if component.several:
                section[last] = _plain_list(component, given, problems)
                continue
            value = _plain_component(component, given, problems)
            if isinstance(value, dict) and not field.is_required():
                value = {component.key: field.default[component.key], **value}
            section[last] = value
    return raw


def _plain_list(component: Component, value: Any, problems: Problems) -> Any:
    """Return a list of components, each written out; one alone may stand without the list."""
    items = [value] if isinstance(value, str | dict) else value
    if not isinstance(items, list | tuple):
        return items
    return [
        _plain_component(component.item(place), item, problems) for place, item in enumerate(items)
    ]


def _plain_component(component: Component, value: Any, problems: Problems) -> Any:
    """Return a component's section with its short form, preset and plug-in path written out."""
    if isinstance(value, str):
        value = {component.key: value}
    if isinstance(value, dict) and "preset" in value:
        preset = value["preset"]
        value = {key: item for key, item in value.items() if key != "preset"}
        with problems.noted():
            value = _merged(component.preset(preset, value.get(component.key)), value)
    if isinstance(value, dict):
        with problems.noted():
            value = component.spelled_out(value)
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
