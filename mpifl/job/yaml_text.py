"""Safe loading of YAML from untrusted files: no objects, no duplicate keys, limited size."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import yaml

from mpifl.errors import InputError

LONGEST_TEXT = 1 << 22
"""The most characters of a file."""

LONGEST_VALUE = 1 << 16
"""The most characters of a value."""

LONGEST_NUMBER = 1000
"""The most characters of an integer."""

MOST_VALUES = 1_000_000
"""The most values of a file, with every alias counted as what it stands for."""


def load_yaml(text: str) -> dict[str, Any]:
    """Return a YAML mapping. Raises InputError, also for a key that is given twice."""
    raw = copy.deepcopy(_parsed(text))
    if not isinstance(raw, dict):
        kinds = {"NoneType": "nothing", "int": "a number", "float": "a number", "str": "a text"}
        kind = type(raw).__name__
        found = kinds.get(kind, f"a {kind}")
        raise InputError(f"expected a mapping of sections, found {found}; write `key: value` lines")
    return raw


@lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    """Return what ``load_value`` does. The runs of a sweep have one job file and one recipe."""
    return load_value(text)


def load_value(text: str) -> Any:
    """Return any YAML value, None for an empty text. Raises InputError as ``load_yaml`` does."""
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
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from error
    except Exception as error:
        # PyYAML lets Python's own errors through: 2024-99-99 is a ValueError, `!!bool x` a
        # KeyError.
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from error


def _marked(error: yaml.MarkedYAMLError) -> InputError:
    """Return a YAML error as InputError, with the line of the file and a caret below the place."""
    message = ", ".join(text for text in (error.context, error.problem, error.note) if text)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return InputError(f"not valid YAML: {message}")

    place = f"line {mark.line + 1}, column {mark.column + 1}"
    snippet = (mark.get_snippet() or "").replace("\t", " ").splitlines()
    shown = snippet if snippet and snippet[0].strip() else ()
    return InputError(f"not valid YAML: {place}: {message}", *shown)


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values of a node once every alias is replaced by what it names.

    ``known`` holds the numbers by id of a node; 0 while a node is being counted. Raises ValueError
    when there are too many or infinitely many: ten lines can stand for more than any memory holds.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError(f"{_line(node)}: an alias is inside the value that it names")
        return known[id(node)]
    known[id(node)] = 0

    if isinstance(node, yaml.ScalarNode):
        longest = LONGEST_NUMBER if node.tag == "tag:yaml.org,2002:int" else LONGEST_VALUE
        if len(node.value) > longest:
            raise ValueError(
                f"{_line(node)}: a value of {len(node.value):,} characters;"
                f" allowed: at most {longest:,}"
            )
        children = []
    else:
        children = [
            child for pair in node.value for child in (pair if isinstance(pair, tuple) else (pair,))
        ]

    known[id(node)] = 1 + sum(_unfolded(child, known) for child in children)
    if known[id(node)] > MOST_VALUES:
        raise ValueError(
            f"{_line(node)}: more than {MOST_VALUES:,} values, counting what aliases stand for"
        )
    return known[id(node)]


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys. PyYAML's own silently takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            scalar = isinstance(key_node, yaml.ScalarNode)
            if not scalar or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                problem = f"key {key_node.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _no_base_60(loader: _UniqueKeys, node: yaml.ScalarNode) -> Any:
    """Return a number, but refuse 18:30, which YAML 1.1 takes for 18 x 60 + 30."""
    if ":" in node.value:
        problem = f"{node.value} is a number to base 60; for a text put it in quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    of_type = "int" if node.tag.endswith("int") else "float"
    return getattr(loader, f"construct_yaml_{of_type}")(node)


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _UniqueKeys.add_constructor(_tag, _no_base_60)
