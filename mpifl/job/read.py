"""Job files into checked jobs: YAML, overrides, and errors for the person who made them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo

from mpifl.errors import InputError
from mpifl.files import shipped, shipped_names
from mpifl.job.component import COMPONENTS, absolute_name, find_class
from mpifl.job.schema import Data, Job
from mpifl.job.section import Section


def read_job(where: str, overrides: Sequence[str] = ()) -> Job:
    """The job of a file (or of a job that ships with the package), with ``section.key=value`` overrides applied.

    Raises InputError, one line: file, key path, value, what is allowed.
    """
    path = Path(where)
    if not path.is_file():
        found = shipped("jobs", where)
        if found is None:
            names = ", ".join(shipped_names("jobs"))
            raise InputError(f"{where}: no such job file, and no job of that name ships with mpifl ({names})")
        path = found
    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
        for override in overrides:
            _apply(raw, override)
        return parse_job(raw)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_job(raw: dict[str, Any]) -> Job:
    """A job from its nested mapping. Raises InputError for the first thing that is wrong."""
    raw = _plain_sections(raw)
    schema = _schema_for(raw)
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise InputError(_explain(schema, error)) from error


def dump_job(job: Job) -> str:
    """The job as YAML with every default written out; ``parse_job`` of it gives an equal job."""
    values = {name: getattr(job, name) for name in type(job).model_fields}
    return yaml.safe_dump(_plain(values), sort_keys=False, default_flow_style=None, width=100)


def load_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping, safely loaded, in which no key may stand twice. Raises InputError."""
    try:
        raw = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from error
    except RecursionError:
        raise InputError("not valid YAML: nested too deeply") from None
    if not isinstance(raw, dict):
        raise InputError(f"expected a mapping of sections, found {type(raw).__name__}")
    return raw


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets the later of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"key {key_node.value!r} stands twice", key_node.start_mark)
            seen.add(key_node.value if isinstance(key_node.value, str) else str(key_node.value))
        return super().construct_mapping(node, deep)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set ``section.key=value``; the value is YAML. A whole section may be given: ``algorithm=fedyogi``."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{override!r}: an override looks like section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {text!r} is not a YAML value") from error
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


def _plain_sections(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy in which ``algorithm: fedavg`` reads ``algorithm: {name: fedavg}`` and plug-in files are absolute."""
    raw = dict(raw)
    for component in COMPONENTS:
        section = raw
        for parent in component.path[:-1]:
            inner = section.get(parent)
            if not isinstance(inner, dict):
                break
            section[parent] = dict(inner)
            section = section[parent]
        else:
            last = component.path[-1]
            value = section.get(last)
            if isinstance(value, str):
                value = {component.key: value}
            if isinstance(value, dict) and isinstance(value.get(component.key), str):
                value = {**value, component.key: absolute_name(value[component.key])}
            if last in section:
                section[last] = value
    return raw


def _schema_for(raw: dict[str, Any]) -> type[Job]:
    """The Job class with every component field typed by the class that the job names."""
    types: dict[str, Any] = {}
    for component in COMPONENTS:
        field = _field(component.path)
        given: Any = raw
        for part in component.path:
            given = given.get(part) if isinstance(given, dict) else None
        chosen = field.default if given is None and not field.is_required() else given
        if not isinstance(chosen, dict):
            continue  # missing or not a mapping: left to the validation that follows
        if component.key not in chosen:
            raise InputError(f"{component.key_path}: missing; allowed: {', '.join(component.registry())}")
        found = find_class(component, chosen[component.key])
        default: Any = ... if field.is_required() else found.model_validate(field.default) if given is None else ...
        types[".".join(component.path)] = (found, default)
    data = create_model("Data", __base__=Data, partition=types.pop("data.partition"))
    return create_model("Job", __base__=Job, data=(data, data() if "data" not in raw else ...), **types)


def _field(path: tuple[str, ...]) -> FieldInfo:
    field = Job.model_fields[path[0]]
    for part in path[1:]:
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        field = field.annotation.model_fields[part]
    return field


def _explain(schema: type[Section], error: ValidationError) -> str:
    """One line for the first of pydantic's errors."""
    problems = error.errors(include_url=False)
    # A misspelt key often also leaves its right name missing: the misspelling is the cause.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown_key(schema, key, first["input"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{key}: missing; a value is required"
    if first["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: {first['input']!r} is not a section (expected `key: value` lines below it)"
    if isinstance(first["input"], dict):
        return f"{key}: {message}"
    return f"{key}: {first['input']!r} is not allowed: {message[0].lower()}{message[1:]}"


def _unknown_key(schema: type[Section], key: str, value: Any) -> str:
    if isinstance(value, dict) and value:  # a misspelt section: name the first key in it
        key = f"{key}.{next(iter(value))}"
    valid = list(_keys(schema))
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.6)
    section = key.rpartition(".")[0]
    siblings = [k for k in valid if k.rpartition(".")[0] == section] or [k for k in valid if "." not in k]
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(siblings)}"
    return f"{key}: no such key; {hint}"


def _keys(schema: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
