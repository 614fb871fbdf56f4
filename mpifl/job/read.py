"""Job files into checked jobs: YAML, overrides, and errors for the person who made them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, create_model
from pydantic.fields import FieldInfo

from mpifl.errors import InputError
from mpifl.files import is_file, shipped, shipped_names
from mpifl.job.component import COMPONENTS, absolute_name, find_class
from mpifl.job.schema import Data, Job
from mpifl.job.section import Section

LONGEST_TEXT, LONGEST_VALUE, LONGEST_NUMBER, MOST_VALUES = 1 << 22, 1 << 16, 1000, 1_000_000


def read_job(where: str, overrides: Sequence[str] = ()) -> Job:
    """The job of a file (or of a job that ships with the package), with ``section.key=value`` overrides applied.

    Raises InputError, one line: file, key path, value, what is allowed.
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


def difference(one: Job, other: Job) -> tuple[str, Any, Any] | None:
    """The first key in which two jobs differ, with both values; None when they are equal."""
    first, second = (dict(_leaves(_plain(job))) for job in (one, other))
    for key in [*first, *second]:
        if first.get(key) != second.get(key):
            return key, first.get(key), second.get(key)
    return None


def load_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping, safely loaded, in which no key may stand twice. Raises InputError."""
    raw = _load(text)
    if not isinstance(raw, dict):
        raise InputError(f"expected a mapping of sections, found {type(raw).__name__}")
    return raw


def _load(text: str) -> Any:
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{len(text):,} characters; allowed: at most {LONGEST_TEXT:,}")
    try:
        loader = _UniqueKeys(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise InputError("not valid YAML: nested too deeply") from None
    except Exception as error:
        # PyYAML lets Python's own errors through: 2024-99-99 is a ValueError, `!!bool x` a KeyError.
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from error


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values there are once every alias stands for what it names, by node in ``known``; 0 while it is counted.

    Raises ValueError when they are too many, or never end: ten lines can stand for more than any memory holds.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError(f"{_line(node)}: an alias stands inside what it names")
        return known[id(node)]
    known[id(node)] = 0
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > (LONGEST_NUMBER if node.tag == "tag:yaml.org,2002:int" else LONGEST_VALUE):
            raise ValueError(f"{_line(node)}: a value of {len(node.value):,} characters")
        inner = []
    else:
        inner = [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
    known[id(node)] = 1 + sum(_unfolded(one, known) for one in inner)
    if known[id(node)] > MOST_VALUES:
        raise ValueError(f"{_line(node)}: with its aliases more than {MOST_VALUES:,} values")
    return known[id(node)]


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets the later of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key_node.value!r} stands twice", key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


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
            yield prefix + key, value


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set ``section.key=value``; the value is YAML. A whole section may be given: ``algorithm=fedyogi``."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"{override!r}: an override looks like section.key=value")
    try:
        value = _load(text)
    except InputError as error:
        raise InputError(f"{path}: {text[:80]!r} is not a YAML value ({error})") from error
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
    """A copy with the default components, ``algorithm: fedavg`` as ``algorithm: {name: fedavg}``, plug-in files absolute.

    The short form of sections that are no components is ``Section``'s.
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
                given = {key: item for key, item in value.items() if key != "preset"}
                value = _merged(component.preset(value["preset"]), given)
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


def _schema_for(raw: dict[str, Any]) -> type[Job]:
    """The Job class with every component field typed by the class that the job names."""
    types: dict[str, type[Section]] = {}
    for component in COMPONENTS:
        name, section = ".".join(component.path), raw
        for parent in component.path[:-1]:
            section = section[parent] if isinstance(section[parent], dict) else {}
        if component.path[-1] not in section:
            continue  # missing, or in what is no section: left to the validation that follows
        given = section[component.path[-1]]
        if not isinstance(given, dict):
            raise InputError(f"{name}: {given!r} is not a section (expected `{component.key}: ...` and options below it)")
        if component.key not in given:
            raise InputError(f"{component.key_path}: missing; allowed: {', '.join(component.registry())}")
        types[name] = find_class(component, given[component.key])
    return _job_class(*types.items())


@functools.cache  # so that equal jobs are of equal class
def _job_class(*types: tuple[str, type[Section]]) -> type[Job]:
    fields: dict[str, Any] = {name: (found, ...) for name, found in types}
    partition = fields.pop("data.partition", None)
    data = create_model("Data", __base__=Data, partition=partition) if partition else Data
    return create_model("Job", __base__=Job, data=(data, ...), **fields)


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
    section, _, word = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in valid if k.rpartition(".")[0] == section}
    near = [siblings[k] for k in difflib.get_close_matches(word, siblings, n=1, cutoff=0.5)]
    if not siblings:
        near = difflib.get_close_matches(key, valid, n=1)
    near = near or [k for k in valid if k.rpartition(".")[2] == word]
    allowed = siblings.values() or [k for k in valid if "." not in k]
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    return f"{key}: no such key; {hint}"


def _keys(schema: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
